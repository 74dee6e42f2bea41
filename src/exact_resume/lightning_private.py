"""Every private name of Lightning, torch, torchdata and torchmetrics that is read or
replaced, once, with its purpose.

tests/exact_resume/test_lightning_private.py looks each up in the installed versions.
"""

from typing import Any, NamedTuple

FIT_LOOP = "lightning.pytorch.loops.fit_loop:_FitLoop"
TRAINING_LOOP = "lightning.pytorch.loops.training_epoch_loop:_TrainingEpochLoop"
EVALUATION_LOOP = "lightning.pytorch.loops.evaluation_loop:_EvaluationLoop"


class Private(NamedTuple):
    """A private name: of a module, or of the objects of a class, ``module:Class``."""

    place: str
    name: str
    purpose: str

    def of(self, thing: Any, *default: Any) -> Any:
        """The value of this name in an object or a module; the default where there is none."""
        return getattr(thing, self.name, *default)

    def replace(self, thing: Any, value: Any) -> None:
        """Let the name stand for another value in one object."""
        setattr(thing, self.name, value)

    def reset(self, thing: Any) -> None:
        """Remove the value from the object, if it has one: the value of its class holds again."""
        vars(thing).pop(self.name, None)


# For the keeper of loaders: the loaders themselves, their iterators, and where they begin.
TRAIN_LOADERS = Private(FIT_LOOP, "_combined_loader", "the training loaders, to keep their place")
VAL_LOADERS = Private(EVALUATION_LOOP, "_combined_loader", "the validation loaders, likewise")
COMBINED_BY = Private(
    "lightning.pytorch.utilities.combined_loader:CombinedLoader",
    "_mode",
    "several loaders of max_size cannot go to a place by their own states",
)
MAKE_ITERATOR = Private(
    "torch.utils.data:DataLoader",
    "_get_iterator",
    "whether a loader wraps its iterator, in which no batches can be skipped",
)
MADE_ITERATORS = Private(
    "lightning.pytorch.utilities.combined_loader:CombinedLoader",
    "_iterator",
    "the iterator of torch's own loader, to skip what a training has seen",
)
FETCHER = Private(FIT_LOOP, "_data_fetcher", "the batches fetched ahead, to keep and put back")
BEFORE_ITERATING = Private(
    FIT_LOOP, "_load_combined_loader_states", "called before the loaders first iterate"
)
SET_EPOCH = Private(
    "lightning.fabric.utilities.data",
    "_set_sampler_epoch",
    "sets a sampler's epoch, which Lightning does only after a resumed loader iterates",
)
LAST_RELOAD = Private(
    FIT_LOOP,
    "_last_train_dl_reload_epoch",
    "when the loaders were made, from which reload_dataloaders_every_n_epochs counts",
)
ITERATOR = Private(
    "torchdata.stateful_dataloader:StatefulDataLoader",
    "_iterator",
    "a loader's iterator, which a resume replaces",
)
INDICES = Private(
    "torch.utils.data.dataloader:_BaseDataLoaderIter",
    "_sampler_iter",
    "the remaining indices: torchdata skips to the place only at the next batch",
)
INDEX_SAMPLER = Private(
    "torch.utils.data.dataloader:_BaseDataLoaderIter",
    "_index_sampler",
    "the sampler again, after persistent workers have started without work",
)
SENT = Private(
    "torch.utils.data.dataloader:_MultiProcessingDataLoaderIter",
    "_send_idx",
    "how many batches workers were asked for in this epoch, to wait until they have them",
)
WORKING = Private(
    "torch.utils.data.dataloader:_MultiProcessingDataLoaderIter",
    "_workers_status",
    "which workers have not come to the end of an iterable data set",
)

# For a resume and its checkpoint: how Lightning goes on, and when it saves and evaluates.
BY_STEPS = Private(
    FIT_LOOP,
    "_iteration_based_training",
    "False on a resume at an epoch's end, which Lightning takes to be within it with max_steps",
)
IS_EVALUATED = Private(
    TRAINING_LOOP,
    "_should_check_val_fx",
    "whether an evaluation follows a batch, which a resume would skip",
)
LAST_SAVED = Private(
    "lightning.pytorch.callbacks:ModelCheckpoint",
    "_last_global_step_saved",
    "kept, and reset in ours, so that an epoch without an optimizer step is saved too",
)
SIGTERM = Private(
    TRAINING_LOOP,
    "_broadcast_sigterm_tensor",
    "made empty: in each step all processes would wait for rank 0's SIGTERM",
)

# For the keepers of what has been logged, and of metrics.
TRAIN_RESULTS = Private(TRAINING_LOOP, "_results", "what is logged in this epoch, as sums")
VAL_RESULTS = Private(EVALUATION_LOOP, "_results", "the metrics that an evaluation resets")
LOGGER_CONNECTOR = Private(
    "lightning.pytorch:Trainer", "_logger_connector", "has the logged metrics and _first_loop_iter"
)
IS_FIRST_BATCH = Private(
    "lightning.pytorch.trainer.connectors.logger_connector.logger_connector:_LoggerConnector",
    "_first_loop_iter",
    "set True on a resume within an epoch, so that its next batch resets no sums",
)
COMPUTED = Private("torchmetrics:Metric", "_computed", "a result, cleared when sums are restored")
UPDATES = Private("torchmetrics:Metric", "_update_count", "how many updates a metric's sums hold")

# For the keepers of attributes and of callbacks.
MODES = Private(
    EVALUATION_LOOP, "_module_mode", "which parts train, as it was before the evaluation"
)
SIZE_NAME = Private(
    "lightning.pytorch.callbacks:BatchSizeFinder", "_batch_arg_name", "the attribute it changes"
)
RATE_NAME = Private(
    "lightning.pytorch.callbacks:LearningRateFinder", "_attr_name", "the attribute it may change"
)
NOT_PERSISTENT = Private(
    "torch.nn:Module", "_non_persistent_buffers_set", "the buffers that no checkpoint holds"
)
VERSION = Private("torch:Tensor", "_version", "counts the changes of a tensor in place")

# For the package convblocks, which is not used here.
AVERAGE = Private(
    "lightning.pytorch.callbacks:WeightAveraging",
    "_average_model",
    "the average, which must follow the weights until it starts",
)
START_METHOD = Private(
    "lightning.pytorch.strategies:DDPStrategy",
    "_start_method",
    "whether Lightning spawns or forks the processes, which is not supported",
)
