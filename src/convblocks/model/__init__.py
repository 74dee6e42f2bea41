"""From a batch to a step: the networks and the LightningModule that trains them."""
