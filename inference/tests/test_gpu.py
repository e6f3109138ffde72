import torch

from millm_inference.gpu import GpuReading, read_gpu


def test_a_gpu_that_tells_nothing_is_no_failure():
    """There is no GPU here, so NVML cannot answer for one."""
    assert read_gpu(torch.device("cuda", 99)) == GpuReading(None, None)


def test_a_cpu_has_no_readings():
    assert read_gpu(torch.device("cpu")) == GpuReading(None, None)
