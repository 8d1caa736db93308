//! The logging flags of the reference's programs, and one of our own.
//!
//! `v`, `logtostderr`, `log-file` and `stderrthreshold`'s friends come from manifests in the field.
//! Those that mean something here are honoured; the rest parse and have no effect.

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// Logging flags, to be flattened into a program's own.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one field per flag of the reference"
)]
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct Klog {
    /// Verbosity: up to 4 shows changes of state, 5 every connection, 10 every packet.
    #[arg(short = 'v', long = "v", default_value_t = 4, value_name = "LEVEL")]
    pub v: i32,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Write the log to stderr; with false and --log-file it goes to the file alone.
    #[arg(long, default_value = "true")]
    pub logtostderr: bool,
    /// File to write the log to when --logtostderr=false.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub log_file: String,
    /// Write the log to stderr as well as to --log-file.
    #[arg(long)]
    pub alsologtostderr: bool,
    /// Accepted; no effect.
    #[arg(long)]
    pub add_dir_header: bool,
    /// Accepted; no effect.
    #[arg(long, default_value = "0", value_name = "SEVERITY")]
    pub alsologtostderrthreshold: String,
    /// Accepted; no effect.
    #[arg(long, default_value = "true")]
    pub legacy_stderr_threshold_behavior: bool,
    /// Accepted; no effect.
    #[arg(long, default_value = ":0", value_name = "FILE:LINE")]
    pub log_backtrace_at: String,
    /// Accepted; no effect: name the file with --log-file.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub log_dir: String,
    /// Accepted; no effect: rotate the file from outside.
    #[arg(long, default_value_t = 1800, value_name = "MEGABYTES")]
    pub log_file_max_size: u64,
    /// Accepted; no effect.
    #[arg(long)]
    pub one_output: bool,
    /// Accepted; no effect.
    #[arg(long)]
    pub skip_headers: bool,
    /// Accepted; no effect.
    #[arg(long)]
    pub skip_log_headers: bool,
    /// Accepted; no effect.
    #[arg(long, default_value = "2", value_name = "SEVERITY")]
    pub stderrthreshold: String,
    /// Accepted; no effect.
    #[arg(long, default_value = "", value_name = "PATTERN=LEVEL,...")]
    pub vmodule: String,
}
