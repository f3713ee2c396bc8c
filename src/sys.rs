//! Every system call that std lacks, each wrapped once.
