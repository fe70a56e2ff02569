"""Learn the constants of stain-texture: `python -m benchmarks.tune_stain_texture --atlas FOLDER`.

No labels are used, and none of the patches that encoders are measured on: patches of the synthetic atlas of
seed 1 (made in FOLDER unless it is there), whole and cropped to 64 px, and of two real slides of the shared
data. Writes encoders/texture_constants.py; other constants mean another `VERSION` in encoders/texture.py.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.patch_sets import atlas_patches, shared_data, shift_all, shifts_inside
from slidelake.encoders import create_encoder

_SLIDES = ("cmu-1-small-region.svs", "tcga-cr-7395-01a-01-ts1.svs")
_OUT = Path(__file__).resolve().parents[1] / "encoders" / "texture_constants.py"
_WIDTH = 104


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atlas", type=Path, required=True)
    folder = parser.parse_args().atlas
    generator = np.random.default_rng(3)
    atlas = atlas_patches(folder, slides=6, seed=1).images
    real = _slide_patches()
    images = [atlas[i] for i in generator.permutation(len(atlas))[:250]]
    images += [real[i] for i in generator.permutation(len(real))[:250]]
    images += [atlas[i][:64, :64] for i in generator.permutation(len(atlas))[:100]]
    encoder: Any = create_encoder("stain-texture")
    plain = _measures(encoder, images)
    shifted = [_measures(encoder, shift_all(images, shifts_inside(len(images), seed))) for seed in (11, 12)]
    tables = encoder.learn(plain, shifted)
    _OUT.write_text(_module(tables), encoding="utf-8")


def _slide_patches() -> list[npt.NDArray[np.uint8]]:
    import openslide

    shared = shared_data()
    if shared is None:
        raise SystemExit("The real slides are needed: set SLIDELAKE_SHARED.")
    patches = []
    for name in _SLIDES:
        with openslide.OpenSlide(shared / "slides" / name) as slide:
            whole = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
        for side, every in ((256, 1), (150, 3), (64, 12)):
            grid = [
                (y, x)
                for y in range(0, whole.shape[0] - side + 1, side)
                for x in range(0, whole.shape[1] - side + 1, side)
            ]
            for y, x in grid[::every]:
                patch = whole[y : y + side, x : x + side]
                if (np.ptp(patch.astype(np.int16), axis=2) > 25).mean() > 0.3:
                    patches.append(patch)
    return patches


def _measures(encoder: Any, images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float64]:
    # One at a time: they are of several sizes.
    return np.concatenate([encoder.measures(image[None]) for image in images])


def _module(tables: dict[str, npt.NDArray[np.float64]]) -> str:
    lines = [
        '"""Constants of stain-texture, written by `python -m benchmarks.tune_stain_texture`: not to be edited.',
        "",
        "One number a raw measure, in the order of texture_describe.BLOCKS; what they mean: texture_scaling.learn.",
        '"""',
        "",
        "import numpy as np",
        "import numpy.typing as npt",
        "",
        f"__all__ = {sorted(tables)}".replace("'", '"'),
        "",
        "",
        "def _table(text: str) -> npt.NDArray[np.float64]:",
        "    return np.array(text.split(), dtype=np.float64)",
        "",
    ]
    for name, values in tables.items():
        lines += ["", f'{name} = _table("""']
        line = ""
        for value in values:
            word = f"{value:.4g}"
            if len(line) + len(word) + 1 > _WIDTH:
                lines.append(line)
                line = ""
            line = f"{line} {word}" if line else word
        lines += [line, '""")']
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
