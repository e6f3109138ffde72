"""An encoder packed for batches encodes as the plain one does, whatever the architecture and the number of rows."""

import pytest
import torch

from millm_inference.interpret import sae as sae_module
from tests.interpret.random_saes import ARCHITECTURES, NORMALIZATIONS, random_sae


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_packed_encodes_as_plain(kind, normalization):
    plain = random_sae(kind, normalization=normalization)
    packed = plain.for_batches()
    if packed is plain:
        pytest.skip("this machine packs nothing")
    assert packed.memory_bytes == plain.memory_bytes + plain.W_enc.nbytes
    indices = torch.tensor([3, 40, 7])
    for shape in ((32,), (1, 32), (5, 32), (2, 3, 32)):
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
        f, state = plain.encode(x)
        again, _ = packed.encode(x)
        torch.testing.assert_close(again, f, atol=1e-5, rtol=1e-5)
        partial, _ = packed.partial_encode(x, indices)
        torch.testing.assert_close(partial, f[..., indices], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(packed.decode(again, state, x), plain.decode(f, state, x), atol=1e-4, rtol=1e-4)


def test_what_is_too_large_for_a_second_copy_stays_plain(monkeypatch):
    plain = random_sae()
    monkeypatch.setattr(sae_module, "PACKED_BYTES", plain.W_enc.nbytes - 1)
    assert plain.for_batches() is plain
