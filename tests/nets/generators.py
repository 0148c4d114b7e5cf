"""What every generator must do, checked the same way for each; the tests of the networks call these."""

import numpy as np
import onnxruntime
import torch

from masquerade.nets.base import to_onnx


def check_shapes(net, *, masked=False):
    crops, identities, conditions = net.examples(batch=2)
    with torch.no_grad():
        made = net.eval()(crops, identities, **conditions)
    assert made.crops.shape == crops.shape
    assert torch.isfinite(made.crops).all()
    if masked:
        assert made.masks.shape == (2, 1, net.side, net.side)
        assert float(made.masks.min()) >= 0 and float(made.masks.max()) <= 1
    else:
        assert made.masks is None


def check_identity_matters(net):
    """Two identities, one crop: two results. And row by row: a batch changes nothing in evaluation mode."""
    crops, identities, conditions = net.examples(batch=2)
    conditions = {name: value[:1].repeat(2, *[1] * (value.ndim - 1)) for name, value in conditions.items()}
    with torch.no_grad():
        both = net.eval()(crops[:1].repeat(2, 1, 1, 1), identities, **conditions).crops
        alone = net(crops[:1], identities[1:], **{name: value[:1] for name, value in conditions.items()}).crops
    assert float((both[0] - both[1]).abs().max()) > 1e-4
    assert float((both[1] - alone[0]).abs().max()) < 1e-4


def check_learns(net, *, steps=6, rate=2e-3):
    """Every parameter gets a gradient that is not zero, and a few steps lower the error of drawing a given picture."""
    crops, identities, conditions = net.train().examples(batch=2)
    goal = torch.rand(crops.shape) * 1.6 - 0.8
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = (net(crops, identities, **conditions).crops - goal).square().mean()
        loss.backward()
        if step == 0:
            silent = [
                name
                for name, weight in net.named_parameters()
                if weight.grad is None or not torch.isfinite(weight.grad).all() or not weight.grad.any()
            ]
            assert not silent, f"no gradient reaches {silent}"
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0], losses


def check_export(net, tolerance=1e-4):
    """ONNX Runtime agrees with torch, on a batch of another size than the one traced."""
    session = onnxruntime.InferenceSession(to_onnx(net), providers=["CPUExecutionProvider"])
    crops, identities, conditions = net.examples(batch=3)
    with torch.no_grad():
        expected = net.eval()(crops, identities, **conditions)
    feeds = {"target": crops.numpy(), "identity": identities.numpy(), **{k: v.numpy() for k, v in conditions.items()}}
    results = session.run(None, feeds)
    outputs = [expected.crops] if expected.masks is None else [expected.crops, expected.masks]
    assert len(results) == len(outputs)
    for result, output in zip(results, outputs, strict=True):
        np.testing.assert_allclose(result, output.numpy(), atol=tolerance * max(1.0, float(output.abs().max())))


def check_half_precision(net):
    """Training may run in bfloat16: forwards and backwards, near what float32 gives."""
    crops, identities, conditions = net.eval().examples(batch=2)
    with torch.no_grad():
        expected = net(crops, identities, **conditions).crops
    with torch.autocast("cpu", torch.bfloat16):
        made = net(crops, identities, **conditions).crops
        made.float().square().mean().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters())
    assert float((made - expected).abs().mean()) < 0.05 * float(expected.std())
