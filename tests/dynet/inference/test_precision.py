"""The data type for inference."""

import pytest
import torch

from dynet.inference import precision


@pytest.mark.parametrize(
    ("capabilities", "faster"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, True),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC"}, False),
        ({}, False),
    ],
)
def test_auto_is_bfloat16_only_where_it_is_faster(
    capabilities: dict[str, object], faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    expected = torch.bfloat16 if faster else torch.float32
    assert precision.choose_dtype("auto", torch.device("cpu")) is expected
    assert precision.choose_dtype("auto", torch.device("cuda")) is torch.float32
    assert precision.choose_dtype("bf16", torch.device("cpu")) is torch.bfloat16
