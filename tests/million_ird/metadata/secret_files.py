"""Image files of every format that hide the same secret wherever the format can store it."""

import io
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import tifffile
from PIL import PngImagePlugin, TiffImagePlugin

from tests.million_ird import scenes
from tests.million_ird.metadata.file_parts import (
    SECRET,
    TEXT,
    SecretFile,
    box,
    chunk,
    exif,
    profile,
    saved,
    segment,
    xmp,
)


@cache
def jpeg() -> SecretFile:
    plain = saved("JPEG", quality=90, exif=exif(), xmp=xmp(), comment=SECRET, dpi=(72, 72))
    iptc = segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(SECRET)) + SECRET + b"\0")
    provenance = segment(0xEB, b"JP\0\1" + SECRET)
    app12 = segment(0xEC, b"Ducky" + SECRET)
    thumbnail = segment(0xE0, b"JFXX\0\x10" + SECRET)
    encoded = plain[:20] + iptc + provenance + app12 + thumbnail + plain[20:] + b"\0\0\0\x18ftypmp42" + SECRET
    names = ("EXIF (GPS)", "XMP", "comment", "IPTC", "provenance (JUMBF)", "APP12", "thumbnail", "video")
    return SecretFile("JPEG", encoded, names)


@cache
def mpo() -> SecretFile:
    buffer = io.BytesIO()
    scenes.photograph(1).save(buffer, "MPO", save_all=True, append_images=[scenes.photograph(2)], comment=SECRET)
    return SecretFile("MPO", buffer.getvalue(), ("index of further pictures", "further pictures", "comment"))


@cache
def png() -> SecretFile:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", TEXT)
    texts.add_text("Comment", TEXT, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", xmp().decode())
    plain = saved("PNG", pnginfo=texts, exif=exif(), dpi=(72, 72), icc_profile=profile())
    extra = chunk(b"tIME", b"\x07\xe8\1\1\1\1\1") + chunk(b"prVt", SECRET)
    encoded = plain[:33] + extra + plain[33:] + SECRET
    names = ("text", "XMP", "EXIF (GPS)", "modification time", "chunk prVt", "trailing bytes")
    return SecretFile("PNG", encoded, names)


@cache
def apng() -> SecretFile:
    buffer, frames = io.BytesIO(), [scenes.photograph(n, 30, 20) for n in (5, 6)]
    scenes.photograph(4, 30, 20).save(buffer, "PNG", save_all=True, append_images=frames, duration=70)
    encoded = buffer.getvalue()
    return SecretFile("PNG", encoded[:-12] + chunk(b"tEXt", b"Author\0" + SECRET) + encoded[-12:], ("text",))


@cache
def webp() -> SecretFile:
    encoded = saved("WEBP", exif=exif(), xmp=xmp(), icc_profile=profile())
    private = b"PRIV" + struct.pack("<I", len(SECRET)) + SECRET + b"\0" * (len(SECRET) % 2)
    size = struct.pack("<I", len(encoded) - 8 + len(private))
    return SecretFile(
        "WEBP",
        encoded[:4] + size + encoded[8:] + private + SECRET,
        ("EXIF (GPS)", "XMP", "chunk PRIV", "trailing bytes"),
    )


@cache
def tiff() -> SecretFile:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[271], tags[305], tags[306], tags[315], tags[33432] = (TEXT,) * 6
    tags[700] = xmp()
    tags.tagtype[700] = 7
    tags[33723] = SECRET
    tags.tagtype[33723] = 7
    tags[65000] = TEXT
    tags.tagtype[65000] = 2
    tags[274] = 6
    encoded = saved("TIFF", tiffinfo=tags, exif=None, icc_profile=profile(), compression="tiff_lzw")
    names = ("description", "camera", "software", "date", "author", "copyright", "XMP", "IPTC", "tag 65000")
    return SecretFile("TIFF", encoded + SECRET, names)


def _tifffile(**options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.asarray(scenes.photograph(3, 48, 32))
    with tifffile.TiffWriter(buffer, **options) as writer:
        common = {"photometric": "rgb", "description": TEXT, "software": TEXT, "metadata": None}
        writer.write(pixels, subifds=1, extratags=[(315, 2, 0, TEXT, True)], tile=(16, 16), **common)
        writer.write(pixels[::2, ::2].copy(), subfiletype=1, photometric="rgb", description=TEXT, metadata=None)
        writer.write(pixels[::-1].copy(), rowsperstrip=5, **common)
    return buffer.getvalue()


@cache
def big_tiff() -> SecretFile:
    names = ("description", "software", "author", "previews (SubIFDs)")
    return SecretFile("TIFF", _tifffile(bigtiff=True), names)


@cache
def big_endian_tiff() -> SecretFile:
    names = ("description", "software", "author", "previews (SubIFDs)")
    return SecretFile("TIFF", _tifffile(byteorder=">"), names)


@cache
def jpeg_tiff() -> SecretFile:
    """Return a TIFF whose strip is a JPEG stream with a comment of its own."""
    whole = saved("JPEG", quality=80, comment=SECRET)
    start = 8
    rows = [
        (256, 4, 40),
        (257, 4, 30),
        (259, 3, 7),
        (262, 3, 6),
        (273, 4, start),
        (277, 3, 3),
        (278, 4, 30),
        (279, 4, len(whole)),
        (530, 3, 2 | 2 << 16),
    ]
    entries = [struct.pack("<HHII", tag, kind, 2 if tag == 530 else 1, value) for tag, kind, value in rows]
    bits_offset = start + len(whole) + 12 * (len(rows) + 1) + 6
    entries.insert(2, struct.pack("<HHII", 258, 3, 3, bits_offset))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + struct.pack("<3H", 8, 8, 8)
    encoded = struct.pack("<2sHI", b"II", 42, start + len(whole)) + whole + directory
    return SecretFile("TIFF", encoded, ("comment",))


@cache
def avif() -> SecretFile:
    encoded = saved("AVIF", size=(64, 48), exif=exif(), xmp=xmp(), quality=60)
    private = box(b"uuid", bytes(16) + SECRET) + box(b"free", SECRET)
    return SecretFile("AVIF", encoded + private, ("EXIF", "XMP", "uuid box"))


@cache
def jp2() -> SecretFile:
    encoded = saved("JPEG2000", comment=TEXT)
    private = box(b"xml ", xmp()) + box(b"uuid", bytes(16) + SECRET)
    position = encoded.index(b"jp2c") - 4
    return SecretFile(
        "JPEG2000", encoded[:position] + private + encoded[position:] + private, ("comment", "XML", "uuid box")
    )


@cache
def codestream() -> SecretFile:
    encoded = saved("JPEG2000", no_jp2=True, comment=TEXT)
    part = encoded.index(b"\xff\x90")
    length = struct.unpack(">I", encoded[part + 6 : part + 10])[0]
    comment = segment(0x64, b"\0\1" + SECRET)  # in the header of the tile-part, too
    longer = encoded[: part + 6] + struct.pack(">I", length + len(comment)) + encoded[part + 10 : part + 12]
    return SecretFile("JPEG2000", longer + comment + encoded[part + 12 :] + SECRET, ("comment", "trailing bytes"))


@cache
def gif() -> SecretFile:
    buffer, frames = io.BytesIO(), [scenes.photograph(5), scenes.photograph(6)]
    options = {"save_all": True, "append_images": frames, "loop": 3, "duration": 80, "comment": SECRET}
    scenes.photograph(4).save(buffer, "GIF", **options)
    encoded = buffer.getvalue()
    start = 13 + 768  # after the palette
    unknown = b"!\xff\x0bXMP DataXMP" + bytes([len(SECRET)]) + SECRET + b"\0"
    plain = b"!\x01\x0c" + bytes(12) + bytes([len(SECRET)]) + SECRET + b"\0"
    names = ("comment", "XMP", "plain text", "trailing bytes")
    return SecretFile("GIF", encoded[:start] + unknown + plain + encoded[start:] + SECRET, names)


@cache
def bmp() -> SecretFile:
    encoded = saved("BMP")
    offset = struct.unpack("<I", encoded[10:14])[0]
    gap = encoded[:6] + b"Jane" + struct.pack("<I", offset + len(SECRET)) + encoded[14:offset] + SECRET
    return SecretFile("BMP", gap + encoded[offset:] + SECRET, ("reserved field", "bytes outside the picture"))


@cache
def linked_bmp() -> SecretFile:
    encoded = saved("BMP")
    pixels = encoded[54:]
    header = bytearray(124)
    header[:40] = encoded[14:54]
    header[0] = 124
    header[56:60] = b"KNIL"
    struct.pack_into("<II", header, 112, 124 + len(pixels), len(SECRET))
    whole = struct.pack("<2sIII", b"BM", 14 + 124 + len(pixels) + len(SECRET), 0, 138) + header + pixels + SECRET
    return SecretFile("BMP", whole, ("path of a colour profile",))


@cache
def ppm() -> SecretFile:
    encoded = saved("PPM").replace(b"P6\n", b"P6\n# " + SECRET + b"\n", 1)
    return SecretFile("PPM", encoded + SECRET, ("comment", "trailing bytes"))


@cache
def pam() -> SecretFile:
    head = b"P7\n# " + SECRET + b"\nWIDTH 3\nHEIGHT 2\nDEPTH 2\nMAXVAL 4095\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n"
    return SecretFile("PPM", head + b"\x01\x80" * 12 + SECRET, ("comment", "trailing bytes"))


@cache
def pfm() -> SecretFile:
    encoded = b"PF\n2 2\n-1.0\n" + struct.pack("<12f", *(n / 12 for n in range(12)))
    return SecretFile("PPM", encoded + SECRET, ("trailing bytes",))


@cache
def ico() -> SecretFile:
    large, small = saved("PNG", mode="RGBA", size=(40, 30)), saved("PNG", size=(8, 8)) + SECRET
    entries = b""
    for side, start, picture in ((8, 38, small), (40, 38 + len(small), large)):
        entries += struct.pack("<4B2H2I", side, side, 0, 0, 1, 32, len(picture), start)
    return SecretFile("ICO", struct.pack("<3H", 0, 1, 2) + entries + small + large + SECRET, ("further pictures",))


@cache
def plain_ppm() -> SecretFile:
    numbers = " ".join(str(n) for n in range(12)).encode()
    return SecretFile("PPM", b"P3\n2 2\n255\n" + numbers + b" # " + SECRET + b"\n", ("comment",))


@cache
def qoi() -> SecretFile:
    return SecretFile("QOI", saved("QOI") + SECRET, ("trailing bytes",))


@cache
def sgi() -> SecretFile:
    encoded = saved("SGI")
    named = encoded[:24] + SECRET.ljust(80, b"\0") + encoded[104:200] + SECRET + encoded[200 + len(SECRET) :]
    return SecretFile("SGI", named + SECRET, ("name", "unused header", "bytes outside the picture"))


@cache
def pcx() -> SecretFile:
    encoded = saved("PCX", mode="P")
    filled = encoded[:80] + SECRET + encoded[80 + len(SECRET) :]
    return SecretFile("PCX", filled[:-769] + SECRET + filled[-769:], ("filler", "bytes outside the picture"))


@cache
def tga() -> SecretFile:
    encoded = saved("TGA", mode="RGBA", compression="tga_rle", id_section=SECRET)
    extension = bytearray(495)
    struct.pack_into("<H", extension, 0, 495)
    extension[2 : 2 + len(SECRET)] = SECRET
    pixels = encoded[:-26]
    footer = struct.pack("<II", len(pixels), 0) + b"TRUEVISION-XFILE.\0"
    return SecretFile("TGA", pixels + bytes(extension) + footer, ("identification", "trailing bytes"))


@cache
def psd() -> SecretFile:
    def resource(number: int, payload: bytes) -> bytes:
        return struct.pack(">4sHHI", b"8BIM", number, 0, len(payload)) + payload + b"\0" * (len(payload) % 2)

    pixels = np.asarray(scenes.photograph(3, 12, 8)).transpose(2, 0, 1).tobytes()
    resources = resource(1028, SECRET) + resource(1039, profile()) + resource(1060, xmp()) + resource(1058, SECRET)
    layers = struct.pack(">I", 0) + SECRET
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 8, 12, 8, 3)
    sections = struct.pack(">II", 0, len(resources)) + resources + struct.pack(">I", len(layers)) + layers
    names = ("IPTC", "XMP", "EXIF", "layers", "trailing bytes")
    return SecretFile("PSD", header + sections + struct.pack(">H", 0) + pixels + SECRET, names)


SECRET_FILES: dict[str, Callable[[], SecretFile]] = {
    "apng": apng,
    "avif": avif,
    "big_endian_tiff": big_endian_tiff,
    "big_tiff": big_tiff,
    "bmp": bmp,
    "codestream": codestream,
    "gif": gif,
    "ico": ico,
    "jp2": jp2,
    "jpeg": jpeg,
    "jpeg_tiff": jpeg_tiff,
    "linked_bmp": linked_bmp,
    "mpo": mpo,
    "pam": pam,
    "pcx": pcx,
    "pfm": pfm,
    "plain_ppm": plain_ppm,
    "png": png,
    "ppm": ppm,
    "psd": psd,
    "qoi": qoi,
    "sgi": sgi,
    "tga": tga,
    "tiff": tiff,
    "webp": webp,
}
