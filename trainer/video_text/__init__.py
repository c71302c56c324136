"""What methods that learn from videos and sentences share: captions, contrast, matching."""
