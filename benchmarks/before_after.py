"""The picture of README: a crop of a photograph with noise, and the same crop restored, each with its PSNR.

`--weights W` are the weights, `--variant V` one of their variants (the deepest if not given), `--picture FILE` is the
photograph (the cat of scikit-image, which no weights of this repository were trained on), `--sigma N` the standard
deviation of the noise in 8-bit levels, `--left X --top Y --size N` the crop, and `--out FILE.jpg` the file to write.
PSNR is of the part that is shown, in 8 bits.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import dynet
from dynet.model.variants import deepest

WEIGHTS = "laptop"
SIDE, GAP, BAND = 480, 8, 40
"""Pixels: the side of a panel, the gap between the panels, and the height of the captions below."""
MARGIN = 32
"""Pixels around the crop that the network sees, too."""
QUALITY = 88


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=WEIGHTS)
    parser.add_argument("--variant")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--left", type=int, default=95)
    parser.add_argument("--top", type=int, default=45)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--out", type=Path, default=Path("before_after.jpg"))
    options = parser.parse_args()
    picture = options.picture or bundled("chelsea.png")
    box = (options.left, options.top, options.left + options.size, options.top + options.size)
    around = (max(0, box[0] - MARGIN), max(0, box[1] - MARGIN), box[2] + MARGIN, box[3] + MARGIN)
    with Image.open(picture) as opened:
        whole = opened.convert("RGB")
    clean = np.asarray(whole.crop((*around[:2], min(around[2], whole.width), min(around[3], whole.height))))
    noise = np.random.default_rng(0).normal(0, options.sigma, clean.shape)
    noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    model = dynet.DyNet.from_pretrained(options.weights)
    variant = options.variant or deepest(model.variants).name
    restored = np.asarray(dynet.restore(noisy, weights=model, variant=variant))
    inside = np.s_[box[1] - around[1] :, box[0] - around[0] :]
    clean, noisy, restored = (image[inside][: options.size, : options.size] for image in (clean, noisy, restored))
    before, after = psnr(noisy, clean), psnr(restored, clean)
    panels = [
        (noisy, f"noise of sigma {options.sigma:g}: {before:.1f} dB"),
        (restored, f"restored by {variant}: {after:.1f} dB"),
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(panels).save(options.out, quality=QUALITY, optimize=True)
    print(f"{picture.name}, {variant}: {before:.2f} dB before, {after:.2f} dB after; {options.out}")


def sheet(panels: list[tuple[np.ndarray, str]]) -> Image.Image:
    """Return square images, (N, N, 3) uint8, side by side and enlarged, with their captions below."""
    width = len(panels) * SIDE + (len(panels) - 1) * GAP
    whole = Image.new("RGB", (width, SIDE + BAND), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(22)
    for number, (image, caption) in enumerate(panels):
        left = number * (SIDE + GAP)
        crop = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        whole.paste(crop, (left, 0))
        draw.text((left + SIDE / 2, SIDE + BAND / 2), caption, fill="black", font=font, anchor="mm")
    return whole


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    """Return the PSNR of an image, (H, W, 3) uint8, against the clean one, in dB."""
    return float(10 * np.log10(255**2 / np.mean((image.astype(float) - clean) ** 2)))


def bundled(name: str) -> Path:
    """Return a photograph of scikit-image."""
    import skimage.data

    return Path(skimage.data.__file__).with_name(name)


if __name__ == "__main__":
    main()
