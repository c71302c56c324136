"""The discrete VAE of DALL-E (Ramesh et al. 2021, section 2.1 and appendix A), the tokenizer of VIMPAC."""
