"""MLflow: one run a stage and one a pipeline state, sent by a process beside the stage."""
