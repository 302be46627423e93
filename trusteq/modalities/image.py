"""Images: patches on a grid, or segments of one colour, that can be left out; reading, and what a model is given."""

import functools
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pandas as pd

from trusteq import bounds
from trusteq.attribution.features import Feature, Features, Inputs
from trusteq.errors import DataError, ExperimentError, nearest, reading
from trusteq.modality import Modality

if TYPE_CHECKING:
    from PIL import Image

    from trusteq.models.array_classifier import ArrayClassifier
    from trusteq.registry import Scratch

GRID = "grid-7x7"
_GRID, _SLIC = re.compile(r"grid-([1-9]\d{0,3})x([1-9]\d{0,3})"), re.compile(r"slic-([1-9]\d{0,4})")
MASKS = ("mean", "blur", "zero")
_AS_THEY_ARE = ("L", "RGB")  # kinds of pixels in a file, as Pillow calls them
_CONVERTED = {"P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "1": "L"}
_WITH_ALPHA = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}
_A_TOKEN = 16 * 16  # pixels, of a model that does not say how large its patches are
HINT = "save it again as PNG or JPEG"


@dataclass(frozen=True, eq=False)
class Patches(Features):
    """An image in patches, any of which can be masked.

    image: uint8, (height, width) or (height, width, 3). patch: number of the patch of each pixel, (height, width), from
    0 without a gap. names: of the patches. masked: the image with all of them masked, of its shape. grid: rows and
    columns of patches, numbered row by row; None where they are no grid. classifier: that reads them; None where there
    is only a callable.
    """

    id: str
    n_classes: int
    image: np.ndarray
    patch: np.ndarray
    names: tuple[str, ...]
    masked: np.ndarray
    grid: tuple[int, int] | None = None
    classifier: "ArrayClassifier | None" = None

    @functools.cached_property
    def features(self) -> tuple[Feature, ...]:
        """(0, number, name) of each patch."""
        return tuple((0, number, name) for number, name in enumerate(self.names))

    def tree(self) -> np.ndarray:
        """Return the tree over the patches, (patches - 1, 2): of a grid a quad-tree, else by how near they lie."""
        return _by_distance(self.patch) if self.grid is None else quad_tree(*self.grid)

    def texts(self, masks: np.ndarray) -> tuple[list[np.ndarray]]:
        """Return the images under `masks`, (n, patches), n of the image's shape and type."""
        found = np.repeat(self.masked[None], len(masks), axis=0)
        whole = f"V{self.image[0, 0].nbytes}"  # pixels: copied many times faster than their channels
        into, pixels = found.view(whole), np.ascontiguousarray(self.image).view(whole)
        np.copyto(into.reshape(-1, *self.patch.shape), pixels.reshape(self.patch.shape), where=masks[:, self.patch])
        return (list(found),)

    def inputs(self) -> Inputs:
        """Return the pixels that the model reads; without any patch they are those of the masked image.

        Where the processor resizes or crops, each has the patch that is there once the patches are so too.
        """
        model, processor = self.classifier.model, self.classifier.processor
        values, baseline = (encode(processor, [of]) for of in (self.image, self.masked))
        feature = np.broadcast_to(_patch_read(processor, self.patch), values.shape[1:])
        size = np.prod(_pair(getattr(model.config, "patch_size", None)) or _A_TOKEN)
        n_tokens = max(1, int(np.prod(values.shape[2:]) // size))
        return Inputs.of_numbers(model, values, baseline, feature, n_tokens=n_tokens)


def patches(
    image: np.ndarray, cut: str, *, where: str = "image"
) -> tuple[np.ndarray, tuple[str, ...], tuple[int, int] | None]:
    """Return the patch of each pixel, (height, width), the patches' names, and (rows, columns) where they are a grid.

    cut: "grid-ROWSxCOLUMNS", whose sizes differ by a pixel at most, or "slic-N", about N segments of scikit-image's
    SLIC in its own settings (grey images as colour images that have none).

    Raises ExperimentError for any other, or a grid finer than the image.
    Source: Achanta et al. (2012), SLIC superpixels.
    """
    if found := _GRID.fullmatch(cut):
        _check_number(int(found[1]) * int(found[2]), cut, where)
        return _grid(image, int(found[1]), int(found[2]), where)
    if found := _SLIC.fullmatch(cut):
        _check_number(int(found[1]), cut, where)
        if int(found[1]) > (n := image.shape[0] * image.shape[1]):
            raise ExperimentError(f"{where}: {cut} of {n:,} pixels; ask for fewer segments")
        patch = _slic(image, int(found[1]))
        return patch, tuple(f"s{number}" for number in range(patch.max() + 1)), None
    raise ExperimentError(f"unknown features {cut!r} of an image; {nearest(cut, (GRID, 'slic-50'))}, with any numbers")


def _check_number(n: int, cut: str, where: str) -> None:
    if n > bounds.MOST_PATCHES:
        raise ExperimentError(f"{where}: {cut} has {n:,} patches; give at most {bounds.MOST_PATCHES:,}")


def _grid(image: np.ndarray, rows: int, columns: int, where: str) -> tuple:
    height, width = image.shape[:2]
    if rows > height or columns > width:
        raise ExperimentError(
            f"{where}: grid-{rows}x{columns} is finer than its {height} x {width} pixels; give fewer rows or columns"
        )
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    names = tuple(f"r{at // columns} c{at % columns}" for at in range(rows * columns))
    return row[:, None] * columns + column, names, (rows, columns)


def _slic(image: np.ndarray, n: int) -> np.ndarray:
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise ExperimentError(
            f"features 'slic-{n}' need scikit-image (pip install scikit-image); or use '{GRID}'"
        ) from None
    found = slic(np.stack([image] * 3, axis=-1) if image.ndim == 2 else image, n_segments=n, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


def quad_tree(rows: int, columns: int) -> np.ndarray:
    """Return the tree over the cells of a grid, (cells - 1, 2), in the form of `features.partition_tree`.

    From the cells up, neighbours in a row are merged, then those in a column, and so on: every second level has blocks
    of two by two. Of an odd number the last one waits.
    """
    nodes, merges = np.arange(rows * columns).reshape(rows, columns), []
    while nodes.size > 1:
        nodes = _halved(_halved(nodes, merges, rows * columns).T, merges, rows * columns).T
    return np.array(merges, dtype=np.int64).reshape(-1, 2)


def _halved(nodes: np.ndarray, merges: list, n: int) -> np.ndarray:
    """Return the nodes with the columns merged two by two, and note the merges; n: the number of cells."""
    even = nodes.shape[1] // 2 * 2
    pairs = nodes[:, :even].reshape(-1, 2)
    merged = n + len(merges) + np.arange(len(pairs)).reshape(len(nodes), even // 2)
    merges.extend(pairs.tolist())
    return np.concatenate([merged, nodes[:, even:]], axis=1)


def _by_distance(patch: np.ndarray) -> np.ndarray:
    """Return the tree that merges the two groups of patches whose centres are nearest, again and again."""
    from scipy.cluster.hierarchy import linkage

    centres = centres_of(patch)
    return (
        linkage(centres, "centroid")[:, :2].astype(np.int64) if len(centres) > 1 else np.empty((0, 2), dtype=np.int64)
    )


def centres_of(patch: np.ndarray) -> np.ndarray:
    """Return the mean place of each patch's pixels, (patches, 2): from the top, from the left, in pixels."""
    counts = np.bincount(patch.ravel())
    sums = [np.bincount(patch.ravel(), place.ravel()) for place in np.indices(patch.shape)]
    return np.stack(sums, axis=1) / counts[:, None]


def all_masked(image: np.ndarray, mask: str, n_patches: int) -> np.ndarray:
    """Return an image with all of it masked, of its shape and type.

    mask: "mean", the mean colour of the image; "blur", the image behind a Gaussian of half the side that
    a square of a patch's mean area has; "zero".
    """
    if mask == "zero":
        return np.zeros_like(image)
    if mask == "blur":
        from scipy.ndimage import gaussian_filter

        sigma = np.sqrt(image.shape[0] * image.shape[1] / n_patches) / 2
        found = gaussian_filter(image.astype(np.float64), (sigma, sigma, 0)[: image.ndim], mode="nearest")
    elif mask == "mean":
        found = np.broadcast_to(image.mean(axis=(0, 1)), image.shape)
    else:
        raise ExperimentError(f"unknown mask {mask!r} of an image; {nearest(mask, MASKS)}")
    return np.rint(found).astype(image.dtype)


def example_of(row, n_classes: int, *, classifier: object = None, mask: str = "mean", cut: str = GRID) -> Patches:
    """Return a row of a table of examples, with id and image, as what is explained; cut: see `patches`."""
    patch, names, grid = patches(row.image, cut, where=str(row.id))
    masked = all_masked(row.image, mask, len(names))
    return Patches(row.id, n_classes, row.image, patch, names, masked, grid, classifier)


def read(file: Path | BinaryIO, where: str | None = None) -> tuple[np.ndarray, dict]:
    """Return the image in a file, uint8, (height, width) or (height, width, 3), and no facts about it.

    It is turned as its file says that it is to be shown. A palette, CMYK and 1 bit a pixel become colour or grey.
    Raises DataError for what is no image, has several, shows what is behind it, or has more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    where = where or str(file)
    if isinstance(file, Path) and not file.is_file():
        raise DataError(f"{where}: {'not a file' if file.exists() else 'no such file'}; name an image")
    with reading(DataError, where, HINT), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a large one, which is refused here, or of what is wrong beside the pixels
        with Image.open(file) as image:
            bounds.check(image.width * image.height, bounds.MOST_PIXELS, "pixels", where, DataError)
            if getattr(image, "n_frames", 1) > 1:
                raise DataError(f"{where}: {image.n_frames} images in one file; save one alone")
            found = np.asarray(_plain(ImageOps.exif_transpose(image), where))
    check(found, where)
    return found, {}


def _plain(image: "Image.Image", where: str) -> "Image.Image":
    """Return an image of Pillow's in grey or colour, 8 bits a channel."""
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in _WITH_ALPHA:
        if image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise DataError(f"{where}: lets what is behind it show through; save it without transparency")
        image = image.convert(_WITH_ALPHA[image.mode])
    if image.mode in _AS_THEY_ARE:
        return image
    if image.mode not in _CONVERTED:
        raise DataError(
            f"{where}: pixels of the kind {image.mode}, and 8 bits a channel, grey or RGB, are read; {HINT}"
        )
    return image.convert(_CONVERTED[image.mode])


def check(array: object, where: str) -> None:
    """Raise DataError for what is no image: uint8, (height, width) or (height, width, 3), of at most MOST_PIXELS."""
    if not isinstance(array, np.ndarray):
        raise DataError(f"{where}: {type(array).__name__}, not an image; give a numpy array, uint8")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(
            f"{where}: NaN or infinite at {int((~np.isfinite(array)).sum()):,} places; give uint8, 0 to 255"
        )
    if array.dtype != np.uint8:
        raise DataError(f"{where}: pixels are {array.dtype}; give uint8, 0 to 255 (numbers from 0 to 1 times 255)")
    if array.ndim not in (2, 3):
        raise DataError(f"{where}: shape {array.shape}; give (height, width) or (height, width, 3)")
    if array.ndim == 3 and array.shape[2] != 3:
        hint = "; drop the fourth if it is transparency" if array.shape[2] == 4 else ""
        raise DataError(f"{where}: {array.shape[2]} channels; give (height, width) or (height, width, 3){hint}")
    if not array.size:
        raise DataError(f"{where}: shape {array.shape} has no pixel; leave the image out")
    bounds.check(array.shape[0] * array.shape[1], bounds.MOST_PIXELS, "pixels", where, DataError)


def check_fits(classifier: object, examples: pd.DataFrame) -> None:
    """Raise DataError, by row, for images of other channels than a model reads, or of a size that nothing mends."""
    processor = getattr(classifier, "processor", None)
    if processor is None:
        return
    config, wanted = classifier.model.config, None
    if not resizes(processor):
        wanted = _pair(getattr(config, "image_size", None)) or examples["image"].iloc[0].shape[:2]
    for row, image in enumerate(examples["image"]):
        if image.ndim == 3 and getattr(config, "num_channels", 3) == 1:
            raise DataError(f"row {row}: the image has 3 channels, and the model reads 1; give grey ones")
        if wanted is not None and image.shape[:2] != tuple(wanted):
            sizes = " x ".join(map(str, image.shape[:2])), " x ".join(map(str, wanted))
            raise DataError(
                f"row {row}: the image has {sizes[0]} pixels, and the model reads {sizes[1]}; "
                "give images of this size, or a processor with do_resize"
            )


def resizes(processor: object) -> bool:
    """Return whether a processor brings images to one size itself."""
    return any(getattr(processor, name, None) for name in ("do_resize", "do_center_crop"))


def _pair(size: object) -> tuple[int, int] | None:
    """Return height and width as a configuration has them: one number, two, or named; None of none."""
    if isinstance(size, dict):
        return size["height"], size["width"]
    if isinstance(size, Sequence):
        return tuple(size)
    return None if size is None else (size, size)


def encode(processor: object, arrays: list[np.ndarray], **options) -> np.ndarray:
    """Return what a model is given, float32 (n, channels, height, width).

    Grey images are repeated where the model wants colour, which is where the processor has as many means.
    options: of the processor, in place of its own.
    """
    means = getattr(processor, "image_mean", None)
    colour = 3 if means is None else np.size(means)
    given = [np.repeat(of[..., None], colour, axis=2) if of.ndim == 2 else of for of in arrays]
    found = processor(images=given, return_tensors="np", input_data_format="channels_last", **options)["pixel_values"]
    return np.asarray(found, dtype=np.float32)


def _patch_read(processor: object, patch: np.ndarray) -> np.ndarray:
    """Return the patch of each pixel that a model is given, (height, width); -1 for what is padding.

    The numbers of the patches, from 1, pass the processor as a picture of their own, in two halves of 8 bits.
    """
    number = patch + 1
    halves = [half.astype(np.uint8) for half in (number % 256, number // 256)]
    low, high = encode(processor, halves, resample=0, do_rescale=False, do_normalize=False)[:, 0]
    return np.rint(low + 256 * high).astype(np.int64) - 1


def scratch(shape: "Scratch", names: dict, array: np.ndarray) -> tuple[object, object]:
    """Return the configuration and the processor of a vision transformer that reads images like `array` as they are.

    names: of the classes, for the configuration. Raises ExperimentError where `patch_size` does not divide the image.
    """
    import transformers

    height, width = array.shape[:2]
    if shape.patch_size is None or height % shape.patch_size or width % shape.patch_size:
        raise ExperimentError(
            f"a model from scratch cuts images into squares of patch_size, which is {shape.patch_size}; "
            f"give a number that divides {height} and {width}"
        )
    channels = 1 if array.ndim == 2 else 3
    settings = shape.model_dump(exclude={"max_position_embeddings"})
    config = transformers.ViTConfig(image_size=[height, width], num_channels=channels, **settings, **names)
    half = [0.5] * channels
    size = {"height": height, "width": width}
    return config, transformers.ViTImageProcessorPil(do_resize=False, size=size, image_mean=half, image_std=half)


MODALITY = Modality(
    name="image",
    units="patches",
    cut=GRID,
    cuts=(_GRID.pattern, _SLIC.pattern),
    suffixes=(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    masks=MASKS,
    read=read,
    check=check,
    check_fits=check_fits,
    example_of=example_of,
    auto_model="AutoModelForImageClassification",
    auto_processor="AutoImageProcessor",
    argument="pixel_values",
    encode=encode,
    scratch=scratch,
    pages="trusteq.pages.image",
    smallest=lambda image: (image[:1, :1], {"patch_size": 1}),
)
