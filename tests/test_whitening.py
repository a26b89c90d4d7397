"""Making a cloud round, against numpy."""

import numpy as np
import pytest
import torch

from app.training.whitening import inverse_root


@pytest.mark.parametrize("rows", [6, 40])
@pytest.mark.parametrize("shrinkage", [0.3, 1.0])
def test_it_is_a_root_of_the_inverse_of_the_shrunk_covariance(rows: int, shrinkage: float) -> None:
    around = torch.randn(rows, 16, generator=torch.Generator().manual_seed(2))
    covariance = around.numpy().T @ around.numpy() / rows
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 16 * np.eye(16)
    root = inverse_root(around, shrinkage).numpy()
    assert root @ root.T == pytest.approx(np.linalg.inv(shrunk), rel=1e-3, abs=1e-3)
