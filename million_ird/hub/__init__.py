"""Publishing datasets on the Hugging Face Hub."""
