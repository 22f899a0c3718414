"""Orthogonal matching pursuit of many patches at once, also of patches with hidden pixels.

scikit-learn's `orthogonal_mp` has no mask, and takes one patch after the other where the error
is bounded. Tests compare with it.
"""

import numpy as np

_ROWS = 8192  # patches that are coded at once
_SEEN = 0.02  # an atom is used where so much of its energy is on known pixels


def orthogonal_matching_pursuit(patches, dictionary, tolerance, most, drawn=None):
    """The fewest atoms, chosen greedily, that leave a residual of at most `tolerance`.

    Pati, Rezaiifar and Krishnaprasad 1993; all patches take each step at once.

    Args:
      patches: `[count, dim]`.
      dictionary: atoms of length 1, or 0: never chosen, `[atoms, dim]`.
      tolerance: on the Euclidean norm of the residual; a patch below it gets no atom more.
      most: atoms per patch at most.
      drawn: what each atom draws, `[atoms, any]`; None: the atom.
    Returns:
      The sum of what the chosen atoms draw, by default the approximations `[count, dim]`.
    """
    drawn = dictionary if drawn is None else drawn
    residual = patches.copy()
    chosen = np.zeros((len(patches), 0), np.int64)
    codes = np.zeros((len(patches), 0), np.float32)
    active = np.flatnonzero((residual**2).sum(axis=1) > tolerance**2)
    for size in range(1, min(most, len(dictionary)) + 1):
        if not active.size:
            break
        chosen = np.pad(chosen, [(0, 0), (0, 1)])
        codes = np.pad(codes, [(0, 0), (0, 1)])
        chosen[active, -1] = np.abs(residual[active] @ dictionary.T).argmax(axis=1)
        atoms = dictionary[chosen[active]]
        normal = atoms @ np.swapaxes(atoms, 1, 2) + np.float32(1e-6) * np.eye(
            size, dtype=np.float32
        )
        solved = np.linalg.solve(normal, atoms @ patches[active][..., None])
        codes[active] = solved[..., 0]
        residual[active] = patches[active] - (np.swapaxes(solved, 1, 2) @ atoms)[:, 0]
        active = active[(residual[active] ** 2).sum(axis=1) > tolerance**2]
    result = np.zeros((len(patches), drawn.shape[1]), np.float32)
    for atom, code in zip(chosen.T, codes.T):
        result += code[:, None] * drawn[atom]
    return result


def masked_pursuit(patches, known, dictionary, tolerance, most):
    """Patches from their known pixels: the atoms are compared there, and drawn whole.

    A patch is a free mean color plus a few atoms (Mairal, Elad and Sapiro 2008): both are
    fitted to the known pixels alone.

    Args:
      patches: `[count, pixels, channels]`; unknown pixels are not read.
      known: of all these patches, bool `[pixels]`; one at least.
      dictionary: `[atoms, pixels * channels]`.
      tolerance: root mean square error on the known pixels that a code may leave.
      most: atoms per patch at most.
    Returns:
      Patches with every pixel, `[count, pixels, channels]`.
    """
    atoms = dictionary.reshape(len(dictionary), *patches.shape[1:])
    drawn = atoms - atoms[:, known].mean(axis=1, keepdims=True)
    seen = drawn[:, known].reshape(len(atoms), -1)
    length = np.linalg.norm(seen, axis=1, keepdims=True)
    whole = np.linalg.norm(atoms, axis=(1, 2))[:, None]
    usable = length**2 > _SEEN * whole**2
    scale = np.where(usable, 1 / np.maximum(length, 1e-12), 0).astype(np.float32)
    mean = patches[:, known].mean(axis=1, keepdims=True)
    rows = (patches[:, known] - mean).reshape(len(patches), -1)
    limit = tolerance * np.sqrt(rows.shape[1])
    drawn = scale * drawn.reshape(len(atoms), -1)
    coded = [
        orthogonal_matching_pursuit(part, scale * seen, limit, most, drawn)
        for part in np.array_split(rows, -(-len(rows) // _ROWS))
    ]
    return np.concatenate(coded).reshape(patches.shape) + mean
