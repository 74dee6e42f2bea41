"""Pictures that are decoded batch by batch, as they are needed, where all of them would not fit into memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map_only

from convblocks.pictures.decoding import naming, read_pixels

CPU = torch.device("cpu")


class LazyImages(Tensor):
    """Stands where a tensor of images (N, C, H, W) uint8 stands, and holds only the paths of their pictures.

    A slice and ``images[indices]`` choose pictures without decoding them; ``split``, ``index_select`` and ``batches``
    decode a batch at a time. Any other operation decodes all of them first.

    Args:
        paths: The picture files.
        shape: (C, H, W), to which they are scaled.
        device: Where decoded images are put.

    Raises:
        DataError: when decoding, if a picture can no longer be read.
    """

    paths: Sequence[Path]

    # Otherwise torch would turn the results of operations into objects of this class.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, paths: Sequence[Path], shape: tuple[int, ...], device: torch.device = CPU) -> "LazyImages":
        size = (len(paths), *shape)
        images: LazyImages = Tensor._make_wrapper_subclass(cls, size, dtype=torch.uint8, device=device)
        images.paths = paths
        return images

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operation: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = tree_map_only(cls, cls._all, (args, kwargs or {}))
        return operation(*args, **kwargs)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"LazyImages({tuple(self.shape)})"

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """The memory that they take, as of any tensor: none."""
        return 0

    def to(self, device: torch.device) -> Tensor:  # type: ignore[override]
        """The same pictures, whose images will be put on that device."""
        return LazyImages(self.paths, self.shape[1:], device)

    def __getitem__(self, chosen: Any) -> Tensor:
        """A slice or a tensor of indices chooses pictures; an index decodes one, (C, H, W)."""
        if isinstance(chosen, int):  # in this thread, as worker processes of torch's DataLoader have no others
            image = torch.empty(self.shape[1:], dtype=torch.uint8)
            _decode_into(image.numpy(), self.paths[chosen])
            return image.to(self.device)
        indices = torch.arange(len(self))[chosen.cpu() if isinstance(chosen, Tensor) else chosen]
        return LazyImages([self.paths[index] for index in indices.tolist()], self.shape[1:], self.device)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The images of these indices, decoded."""
        (images,) = self.batches([index])
        return images

    def split(self, size: int) -> Iterator[Tensor]:  # type: ignore[override]
        """Batches of so many images, in order; the next is decoded while one is used."""
        return self.batches(torch.arange(len(self)).split(size))

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images of each part, which holds indices; the next part is decoded while one is used.

        Raises:
            DataError: a picture can no longer be read.
        """
        started = chain(map(self._start, parts), [None])
        return (_finished(self.device, *part) for part, _ in pairwise(started) if part)

    def _all(self) -> Tensor:
        return self.index_select(0, torch.arange(len(self)))

    def _start(self, part: Tensor) -> tuple[Tensor, list[Future[None]]]:
        """The images of a part, which are complete when the futures are done."""
        paths = [self.paths[index] for index in part.tolist()]
        images = torch.empty(len(paths), *self.shape[1:], dtype=torch.uint8)
        return images, [_threads().submit(_decode_into, *one) for one in zip(images.numpy(), paths, strict=True)]


def _finished(device: torch.device, images: Tensor, decoding: list[Future[None]]) -> Tensor:
    for future in decoding:
        future.result()
    return images.to(device)


def _decode_into(pixels: NDArray[np.uint8], path: Path) -> None:
    with naming(path):
        pixels[:] = read_pixels(path, pixels.shape)


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads rather than processes: Pillow releases the GIL, and pixels need not be sent."""
    return ThreadPoolExecutor()
