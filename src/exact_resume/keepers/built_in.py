"""The keepers that every training has, in the order in which they restore."""

from exact_resume.keepers import (
    attributes,
    callbacks,
    generators,
    gradients,
    loaders,
    logged,
    metrics,
    schedules,
    validation,
)

# They restore in this order. Generators comes after Callbacks, whose hooks may draw random
# numbers, and before Loaders, which iterates and then sets the generators again. Schedules
# comes after Logged, whose values it reads.
KEEPERS = (
    attributes.Attributes,
    gradients.Gradients,
    metrics.Metrics,
    logged.Logged,
    callbacks.Callbacks,
    generators.Generators,
    loaders.Loaders,
    schedules.Schedules,
    validation.ValidationWorkers,
)
