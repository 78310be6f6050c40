"""The script that MLflow runs to load the model (its "models from code"); it comes with the model.

The modules that it needs lie beside it, in the model's folder ``code``.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class AttentionBranchModel(PythonModel):
    """Classes, probabilities and attention maps of images."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the network; torch is imported here, so that logging a model needs no torch."""
        from abn.serving.classifier import Classifier  # noqa: PLC0415

        device = (context.model_config or {}).get("device", "auto")
        self.classifier = Classifier(Path(context.artifacts["weights"]), device)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 (MLflow's signature)
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Classify the rows of a table with a column ``image`` or ``pixels``.

        Returns:
            Columns class, confidence, probabilities, attention, as ``Classifier.classify`` has it.
        """
        from abn.errors import AbnError  # noqa: PLC0415

        try:
            answers = self.classifier.classify(_rows(model_input))
        except AbnError as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None
        return pd.DataFrame(answers)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): row[name] for name in row} for row in table.to_dict("records")]


mlflow.models.set_model(AttentionBranchModel())
