#!/bin/sh
# Runs the tests: all of them on TensorFlow, what computes also on JAX and torch.
# Two processes, because tests mostly trace and compile, on one core each.
# Usage: sh tests/run.sh PYTHON
set -u
export OMP_NUM_THREADS=1  # torch's threads would wait for each other
python=$1
status=0
limit="timeout 2400"
command -v timeout > /dev/null || limit=""  # macOS has no such command
shared="tests/layers tests/models tests/applications tests/training tests/test_old_files.py"
shared="$shared tests/test_answers.py"
mobile_jax="tests/mobile/quantization/test_quantization.py tests/mobile/quantization/test_fake_quantization.py"
mobile_jax="$mobile_jax tests/mobile/test_export_process.py"

run() {
    backend=$1
    shift
    echo "== $backend"
    # shellcheck disable=SC2086
    KERAS_BACKEND=$backend $limit "$python" -m pytest -q -n 2 --dist worksteal --durations=5 "$@" || status=1
}

run tensorflow tests
# shellcheck disable=SC2086
run jax $shared $mobile_jax tests/tuner/one_shot/test_kills.py
# Searches compile whole super-networks, rewriting whole networks, which takes JAX minutes.
# shellcheck disable=SC2086
run torch $shared tests/mobile tests/tuner/one_shot
exit $status
