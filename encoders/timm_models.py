"""timm models by name ("timm:vit_small_patch16_224")."""
