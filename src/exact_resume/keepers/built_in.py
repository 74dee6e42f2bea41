"""The keepers that every training has, in their order."""

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

# Restored in this order. Generators comes after Callbacks, whose hooks may draw, and
# before Loaders, which iterates with them and puts them back. Schedules comes after
# Logged, whose values it reads.
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
