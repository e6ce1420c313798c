"""Options of uploads to the Hugging Face hub."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import Secret


@dataclass(kw_only=True)
class HubOptions:
    """What is uploaded to the Hugging Face hub, and where to."""

    huggingface_repo_id: str | None = None
    """Repository on the Hugging Face hub for the saved models: owner/name. It is made when it is missing."""

    huggingface_repo_type: str | None = None
    """Kind of the repository: model, dataset or space. Empty: model."""

    huggingface_path_in_repo: str | None = None
    """Folder in the repository for the uploaded files. Empty: its top."""

    huggingface_token: Annotated[str | None, Secret()] = None
    """Access token of the hub. Empty: the one in HF_TOKEN, or that of `hf auth login`, which no other user can see."""

    huggingface_repo_visibility: str | None = None
    """Who sees a repository that is made: public or private. Empty: private."""

    save_state_to_huggingface: bool = False
    """Upload the saved states too."""

    async_upload: bool = False
    """Go on with training while files are uploaded."""
