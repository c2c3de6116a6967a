"""Configurations of other trainers, and how a test brings one in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.recipe.exchange.importing import Imported

Import = Callable[..., tuple[Imported, dict[str, Any]]]

OLD_DPO = """\
# Our second try.
model_name_or_path: org/base
torch_dtype: bfloat16      # as on the cluster
use_peft: true
lora_target_modules: q_proj,v_proj
dataset_name: org/pairs
learning_rate: "5e-6"
rpo_alpha: 0.5
max_prompt_length: 512
evaluation_strategy: no
warmup_ratio: 0.1

# the rest
overwrite_output_dir: true
group_by_length: true
use_flash_attention_2: false
trust_remote_code: true
push_to_hub: true
hub_token: secret
resume_from_checkpoint: last
learning_rte: 3
tools: [a]
"""
HANDBOOK = """\
model_name_or_path: org/base
dataset_mixer:
  org/one: 1.0
  org/two: 0.25
dataset_splits: [train_prefs, test_prefs]
max_seq_length: 2048
beta: 0.05
"""
AXOLOTL_SFT = """\
base_model: org/base
adapter: qlora
load_in_4bit: true
lora_r: 32
lora_alpha: 16
lora_target_linear: true
datasets:
  - {path: org/chats, split: train, type: chat_template}
  - {path: rows.jsonl, ds_type: json, type: alpaca, shards: 3}
val_set_size: 0.05
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
num_epochs: 2
evals_per_epoch: 4
saves_per_epoch: 1
warmup_ratio: 0
bf16: auto
flash_attention: true
optimizer: muon
special_tokens: {eos_token: "<end>", bos_token: "<s>"}
wandb_project: chats
plugins: [axolotl.integrations.kernels.KernelsPlugin]
deepspeed: zero2.json
lora_model_dir:
"""
LLAMA_FACTORY_DPO = """\
model_name_or_path: org/base
trust_remote_code: true
stage: dpo
finetuning_type: lora
lora_rank: 4
lora_target: q_proj,v_proj
quantization_bit: 4
pref_beta: 0.2
pref_loss: hinge
pref_ftx: 0.3
dataset: mine,unknown
template: qwen
cutoff_len: 512
max_samples: 100
per_device_train_batch_size: 1
learning_rate: 5.0e-6
warmup_ratio: 0.1
val_size: 0.1
eval_strategy: steps
eval_steps: 20
bf16: true
plot_loss: true
ddp_timeout: 180000000
"""
AUTOTRAIN_DPO = """\
task: llm-dpo
base_model: org/base
project_name: mine
log: wandb
backend: local
data:
  path: org/pairs
  train_split: train
  valid_split: test
  chat_template: chatml
  column_mapping: {text_column: good, rejected_text_column: rejected, prompt_text_column: prompt}
params:
  block_size: 512
  model_max_length: 2048
  epochs: 2
  lr: 3e-5
  peft: true
  quantization: int8
  mixed_precision: bf16
  dpo_beta: 0.2
  merge_adapter: true
  odd_one: 4
hub:
  username: ${HF_USERNAME}
  token: ${HF_TOKEN}
  push_to_hub: true
"""
SOURCES = {
    "old-trl": OLD_DPO,
    "handbook": HANDBOOK,
    "axolotl": AXOLOTL_SFT,
    "llama-factory": LLAMA_FACTORY_DPO,
    "autotrain": AUTOTRAIN_DPO,
}


def notes(found: Imported, *outcomes: str) -> dict[str, str]:
    return {entry.key: entry.note for entry in found.of(*outcomes)}
