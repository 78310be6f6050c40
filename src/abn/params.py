"""params.yaml as frozen, strict models, one class a section.

``load()`` reads and checks the whole file and reports every mistake at once, each with its
line, its key, what was found and what was expected. The models carry no defaults: params.yaml is
complete.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from abn.errors import AbnError
from abn.paths import PARAMS

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Backbone = Literal[
    "resnet8", "resnet20", "resnet32", "resnet56", "resnet110",
    "torchvision/resnet18", "torchvision/resnet34", "torchvision/resnet50",
    "torchvision/resnet101", "torchvision/resnet152",
    "torchvision/resnext50_32x4d", "torchvision/resnext101_32x8d",
    "torchvision/wide_resnet50_2", "torchvision/wide_resnet101_2",
]  # fmt: skip


class Section(BaseModel):
    """What every section shares: frozen, strict, nothing unknown, only finite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Runtime(Section):
    """Where and how the numbers are computed."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    """auto takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"]
    """auto takes bf16 where the processor or GPU has instructions for it."""
    threads: Positive
    """CPU threads; another number changes the last digits of every result."""
    deterministic: bool
    """The same bits in every run on the same machine; false lets a GPU choose faster kernels."""
    batch_size: Positive
    """Images at once where nothing is learned: maps, features, evaluation."""


def _size(value: Any) -> Any:
    count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value is None or count or (isinstance(value, float) and 0 < value < 1):
        return value
    raise ValueError(f"{value!r} is neither a number of images, nor a fraction, nor null")


Size = Annotated[int | float | None, PlainValidator(_size)]


class Splits(Section):
    """Images a split: their number, a fraction, or null.

    A fraction is of the source's own split of that name; of its training images where it has none.
    """

    train: Size
    """null: all that the others leave."""
    val: Size
    """null: the source's own, or a fifth of its training images; of fashion_mnist from the end."""
    test: Size
    """null: the same."""


class Decoy(Section):
    """A grey patch in a random corner of each image."""

    size: Annotated[int, Field(ge=0)]
    """Side of the square, pixels; 0 draws none."""
    correlation: Fraction
    """Share of images whose patch names their own class; in the others it names a random one."""


class ImageFolder(Section):
    """Of the source image_folder: a folder for each class, or train, val and test of such."""

    folder: str
    """Where the classes lie, or train, val and test; below data.root, . for itself."""
    masks: Literal["none", "alpha", "tree"]
    """alpha: the images' own alpha channel, where they have one; tree: PNG files in mask_folder."""
    mask_folder: str
    """Below data.root; holds cats/1.png for an image cats/1.jpg of ``folder``."""


class OxfordPet(Section):
    """Of the source oxford_iiit_pet."""

    outline: Literal["object", "background"]
    """What the trimaps' unclassified outline counts as."""


class Birds(Section):
    """Of the source cub_200_2011."""

    masks: Literal["segmentations", "boxes"]
    """segmentations: where more than half of the annotators saw the bird."""


class Csv(Section):
    """Of the source csv."""

    manifest: str
    """CSV file below data.root with the columns path and label, and perhaps mask and split."""


class Data(Section):
    """Which images."""

    source: Literal["fashion_mnist", "image_folder", "oxford_iiit_pet", "cub_200_2011", "csv"]
    root: str
    """Folder of the source's files, inside the repository."""
    image_size: Positive
    """Side of the images that the network gets, pixels."""
    stored_size: Positive | None
    """Side of the prepared images, for crops of them in training; null: image_size."""
    masks: bool
    """false withholds the source's masks, as in a data set that has none."""
    splits: Splits
    placement: Literal["random", "centred"]
    """Of fashion_mnist, as the next two."""
    object_size: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    """Smallest and largest side of the object, pixels."""
    decoy: Decoy
    image_folder: ImageFolder
    oxford_iiit_pet: OxfordPet
    cub_200_2011: Birds
    csv: Csv

    @property
    def prepared_size(self) -> int:
        """Side of the prepared images, pixels."""
        return self.stored_size or self.image_size

    @model_validator(mode="after")
    def _stored_size_fits(self) -> "Data":
        if self.stored_size is not None and self.stored_size < self.image_size:
            raise ValueError(
                f"stored_size {self.stored_size} is below image_size {self.image_size}; "
                "null stores images at image_size"
            )
        return self

    @model_validator(mode="after")
    def _object_fits(self) -> "Data":
        if self.source != "fashion_mnist":
            return self
        low, high = self.object_size
        if not low <= high <= self.image_size:
            raise ValueError(
                f"object_size {self.object_size} must be ascending and within "
                f"image_size {self.image_size}"
            )
        if 2 * self.decoy.size > self.image_size:
            raise ValueError(f"decoy.size {self.decoy.size} is over half of {self.image_size}")
        if self.prepared_size != self.image_size:
            raise ValueError("stored_size: fashion_mnist is drawn at image_size; set it to null")
        return self


class Model(Section):
    """Which network."""

    backbone: Backbone
    map_kernel: Literal[1, 3]
    """Kernel of the convolution that makes the map: 1 in the paper, 3 in the authors' code."""
    base: Positive | None
    """Round in data/rounds whose refined model is the base model; null trains from scratch."""


class Train(Section):
    """Training of the whole network from scratch."""

    epochs: Positive
    batch_size: Positive
    optimiser: Literal["sgd", "adamw"]
    lr: Rate
    momentum: Fraction
    """Nesterov's, of sgd."""
    weight_decay: NonNegative
    schedule: Literal["step", "cosine"]
    """step: a tenth after half and after three quarters of the epochs, as the authors do."""
    warmup: NonNegative
    """Epochs over which the learning rate rises from nothing."""
    gate_jitter: Fraction
    """Share of images whose map is replaced by a random smooth one before the perception branch, so
    that it tolerates other maps than its own; 0 is the ABN as its authors trained it."""


class Selection(Section):
    """Which images people are asked to edit."""

    strategy: Literal["worst", "manual"]
    """worst: the worst aligned of each class; manual: the list in data/selected.csv."""
    budget: Positive
    """Images to edit, in all."""
    holdout: Fraction
    """Share of them kept out of the fine-tuning, half to choose by, half to report by."""


class Simulated(Section):
    """The annotator that paints what the masks show."""

    feedback: Literal["right", "wrong", "shuffled", "half"]
    """wrong: all but the object; shuffled: another image's object; half: every second shuffled."""
    imprecision: Fraction
    """Random shift and growth of what is painted, as a share of the image's side."""


class Edits(Section):
    """Where the edited maps come from."""

    source: Literal["simulated", "annotations"]
    merge: Literal["latest", "mean", "agreement"]
    """Several annotators of one image: the latest one, their mean, or what they agree on."""
    stale: Literal["keep", "rebase", "drop"]
    """Edits of an earlier model's map: as they are, the strokes on the present map, or refused."""
    simulated: Simulated


class Recipe(Section):
    """A way to fine-tune: over which weights, towards what, for how long."""

    scope: Literal["attention_branch", "map_convolution", "attention_and_perception"]
    """What learns; all else stays frozen, in eval mode. attention_branch is the paper's."""
    loss: Literal["mse", "l2", "logit_mse", "bce", "dice", "hinge"]
    """Of a map and its edited map. mse is the paper's."""
    margin: Annotated[list[Fraction], Field(min_length=2, max_length=2)]
    """Of hinge: how high a map may be outside, and is to be at least inside."""
    attention: NonNegative
    """Weight of the loss on edited images."""
    pseudo_masks: NonNegative
    """Weight of the same loss on unedited images, towards the teacher's maps made masks."""
    teacher: str | None
    """The recipe whose refined model draws the pseudo-masks."""
    classification: NonNegative
    """Weight of both heads' cross-entropy with the labels, on edited and unedited images."""
    retention: NonNegative
    """Weight of the perception branch's divergence from the base model's predictions, on unedited
    images."""
    batch_norm: Literal["update", "freeze"]
    """What learns: with the batches' statistics and new running ones, or with the base model's."""
    steps: Positive
    """In all, rounded up to whole passes: few edits are seen more often than many."""
    batch_size: Positive
    """Edited images a step, and as many unedited ones where the recipe looks at these."""
    optimiser: Literal["sgd", "adamw"]
    lr: Rate
    """At the start; it falls to nothing along a cosine."""
    momentum: Fraction
    """Of sgd."""
    weight_decay: NonNegative

    @property
    def uses_unedited(self) -> bool:
        """Whether any term looks at unedited images."""
        return bool(self.pseudo_masks or self.classification or self.retention)

    @model_validator(mode="after")
    def _terms_fit(self) -> "Recipe":
        if self.margin[0] >= self.margin[1]:
            raise ValueError(f"margin {self.margin} must be ascending")
        if bool(self.pseudo_masks) != (self.teacher is not None):
            raise ValueError("pseudo_masks and teacher go together: set both or neither")
        return self


class Finetune(Section):
    """Fine-tuning towards the edited maps."""

    recipe: str
    """Which of the recipes makes the refined model."""
    compare: list[str]
    """Recipes that are run beside it on the same edits, for the report."""
    recipes: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Recipe]
    unedited: Positive
    """Training images without an edit that recipes may look at, at most."""
    evaluate_every: Positive
    """Steps from one point of the front to the next, rounded up to whole passes."""
    interpolation: list[Annotated[float, Field(gt=0, le=1)]]
    """Points between base (0) and refined weights (1) at which the last epoch is measured too."""
    max_accuracy_drop: Fraction
    """Accuracy on the validation split that the refined model may lose."""
    cache_precision: Literal["fp32", "fp16"]
    """How the frozen extractor's features are kept."""

    @model_validator(mode="after")
    def _recipes_exist(self) -> "Finetune":
        named = [("recipe", self.recipe), *(("compare", name) for name in self.compare)]
        for name, recipe in self.recipes.items():
            if recipe.teacher is not None:
                named.append((f"recipes.{name}.teacher", recipe.teacher))
        for key, name in named:
            if name not in self.recipes:
                raise ValueError(f"{key} {name!r} is none of recipes: {', '.join(self.recipes)}")
        for name, recipe in self.recipes.items():
            if recipe.teacher is not None and self.recipes[recipe.teacher].teacher is not None:
                raise ValueError(f"recipes.{name}.teacher {recipe.teacher!r} has a teacher itself")
        return self

    def in_order(self) -> list[str]:
        """Give the recipes to run: teachers first, the one that is kept last."""
        wanted = [*self.compare, self.recipe]
        teachers = [self.recipes[name].teacher for name in wanted]
        ordered = [name for name in (*teachers, *self.compare) if name not in (None, self.recipe)]
        return [*dict.fromkeys(name for name in ordered if name is not None), self.recipe]


class Channels(Section):
    """Analysis of the map convolution's channels."""

    images: Positive
    """Test images that the channels are judged on."""
    shapley_images: Positive
    """Of these, the images over which Shapley values are averaged."""
    shapley_pairs: Positive
    """Random orders, each with its reverse, where there are more than 12 channels."""
    resamples: Positive
    """Of the images, for intervals."""


class Report(Section):
    """The page."""

    gallery: Positive
    """Edited images shown."""


class Tracking(Section):
    """MLflow."""

    experiment: Annotated[str, Field(min_length=1)]
    """Also the name under which refined models are registered."""


class Promote(Section):
    """What a model must show to become champion, on the validation split; no stage reads it."""

    max_accuracy_drop: Fraction
    """Accuracy that it may lose against its base model, and against the present champion."""
    min_alignment: Fraction
    """IoU with the masks; with held-out edits where there are no masks."""
    min_alignment_gain: Annotated[float, Field(ge=-1, le=1)]
    """Alignment that it must have gained over its base model."""


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0)]
    runtime: Runtime
    data: Data
    model: Model
    train: Train
    selection: Selection
    edits: Edits
    finetune: Finetune
    channels: Channels
    report: Report
    tracking: Tracking
    promote: Promote

    @model_validator(mode="after")
    def _masks_for_the_simulated_annotator(self) -> "Params":
        if self.edits.source == "simulated" and not self.data.masks:
            raise ValueError(
                "edits.source: simulated paints what the masks show, and data.masks is false; "
                "put a Label Studio export into data/annotations and set edits.source: annotations"
            )
        folder = self.data.source == "image_folder" and self.data.image_folder.masks == "none"
        if self.edits.source == "simulated" and folder:
            raise ValueError(
                "edits.source: simulated paints what the masks show, and data.image_folder.masks "
                "is none; set it to alpha or tree, or set edits.source: annotations"
            )
        return self


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml; raise ``AbnError`` that lists everything wrong with it."""
    values, lines = read(path)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        mistakes = [_mistake(one, values, lines) for one in error.errors()]
        raise AbnError(f"{path}: {len(mistakes)} mistake(s)\n" + "\n".join(mistakes)) from None


def read(path: Path, fill_in: Callable[[str], str] = str) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Read a YAML file as plain values, and the line of each key; raise ``AbnError`` if malformed.

    ``fill_in`` gets the file's text before it is read.
    """
    try:
        text = fill_in(path.read_text(encoding="utf-8"))
        root = yaml.compose(text, Loader=_Loader)
        lines = dict(_lines(root, ()))
        return yaml.load(text, Loader=_Loader), lines  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; run from the root of the repository") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AbnError(f"{path}: not valid YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers, as DVC writes and reads them: 1e-3 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$"),
    list("-+0123456789."),
)


def _lines(node: yaml.Node | None, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for name, value in node.value:
        inner = (*key, str(name.value))
        if inner in seen:
            raise yaml.YAMLError(
                f"line {name.start_mark.line + 1}: the key {'.'.join(inner)} stands there twice"
            )
        seen.add(inner)
        yield inner, name.start_mark.line + 1
        yield from _lines(value, inner)


def _mistake(error: Any, values: Any, lines: dict[tuple[str, ...], int]) -> str:
    location = tuple(str(part) for part in error["loc"] if part not in ("int", "float", "none"))
    line = next(
        (lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), 1
    )
    key = ".".join(location) or "params"
    if error["type"] == "missing":
        return f"  line {line}: {key} is missing"
    if error["type"] == "extra_forbidden":
        return f"  line {line}: {key} is not a parameter{_near(location, values)}"
    problem = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"  line {line}: {key}: {problem}"
    return f"  line {line}: {key} is {error['input']!r}: {problem}"


def _near(location: tuple[str, ...], values: Any) -> str:
    model: Any = Params
    for part in location[:-1]:
        fields = getattr(model, "model_fields", None)
        # A mapping of sections has them by names of the user's own.
        model = fields[part].annotation if fields else get_args(model)[1]
        values = values[part]
    missing = [name for name in model.model_fields if name not in values]
    close = difflib.get_close_matches(location[-1], missing, n=1)
    return f"; did you mean {close[0]}?" if close else ""
