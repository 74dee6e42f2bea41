"""Images of random pixels and labels, of which only number and size matter."""

import torch

from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages

Shape = tuple[int, int, int]

# As many training images to a test image as MNIST has.
TRAINING_TO_TEST = 6


class Noise(ImageSource):
    """A data set; the root ``2000-10-1-28-28`` stands for 2,000 images of 10 classes in
    one channel of 28 x 28 pixels.
    """

    def load(self) -> ImageSets:
        images, classes, channels, height, width = map(int, self.root.name.split("-"))
        return checked(*noise(images, classes, (channels, height, width)), classes)


def noise_flags(images: int, classes: int, shape: Shape = MNIST.shape) -> list[str]:
    """The options of ``fit`` for it."""
    root = "-".join(map(str, (images, classes, *shape)))
    return ["--data.source", f"{__name__}.Noise", "--data.root", root]


def noise(
    images: int, classes: int, shape: Shape = MNIST.shape
) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images."""
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> LabelledImages:
        size = count, *shape
        pixels = torch.randint(256, size, dtype=torch.uint8, generator=generator)
        labels = torch.randint(classes, (count,), generator=generator)
        return LabelledImages(pixels, labels)

    return draw(images), draw(for_testing(images))


def for_testing(images: int) -> int:
    """How many test images belong to so many training images."""
    return -(-images // TRAINING_TO_TEST)


def checked(train: LabelledImages, test: LabelledImages, classes: int) -> ImageSets:
    """What the project finds out about any source's images: whether they are alike,
    MD5, mean, deviation.
    """
    return ImageSets.of(train, test, [*map(str, range(classes))])
