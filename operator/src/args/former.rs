//! Flags of Kamaji that mean nothing here: taken, so that existing charts and scripts start this program.

/// Flags of Kamaji that mean nothing here.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Taken for compatibility, without effect")]
pub(super) struct Former {
    /// pprof is the Go runtime's
    #[arg(long, hide = true)]
    pprof_bind_address: Option<String>,
    /// Nothing is written to disk
    #[arg(long, hide = true)]
    tmp_directory: Option<String>,
    /// kine is not served yet
    #[arg(long, hide = true)]
    kine_image: Option<String>,
    /// Migration is not served yet
    #[arg(long, hide = true)]
    migrate_image: Option<String>,
    /// Permissions are those of the pod
    #[arg(long, hide = true, env = "SERVICE_ACCOUNT")]
    serviceaccount_name: Option<String>,
    /// The webhook's authority is in its Secret
    #[arg(long, hide = true)]
    webhook_ca_path: Option<String>,
    /// Watches need no resync
    #[arg(long, hide = true)]
    cache_resync_period: Option<String>,
    /// Certificates are renewed at two thirds of their life
    #[arg(long, hide = true)]
    certificate_expiration_deadline: Option<String>,
    /// Tenants wake their objects through watches
    #[arg(long, hide = true)]
    trigger_channel_buffer_size: Option<String>,
    /// Tenants wake their objects through watches
    #[arg(long, hide = true)]
    trigger_channel_timeout: Option<String>,
    /// Nothing is ever sent anywhere
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_telemetry: Option<String>,
    /// See --log-format
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    zap_devel: Option<String>,
    /// See --log-format
    #[arg(long, hide = true)]
    zap_encoder: Option<String>,
    /// See --log-level
    #[arg(long, hide = true)]
    zap_log_level: Option<String>,
    /// See --log-level
    #[arg(long, hide = true)]
    zap_stacktrace_level: Option<String>,
    /// See --log-format
    #[arg(long, hide = true)]
    zap_time_encoding: Option<String>,
}

impl Former {
    /// The flags that were given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let Self {
            pprof_bind_address,
            tmp_directory,
            kine_image,
            migrate_image,
            serviceaccount_name: _,
            webhook_ca_path,
            cache_resync_period,
            certificate_expiration_deadline,
            trigger_channel_buffer_size,
            trigger_channel_timeout,
            disable_telemetry,
            zap_devel,
            zap_encoder,
            zap_log_level,
            zap_stacktrace_level,
            zap_time_encoding,
        } = self;
        let flags = [
            ("--pprof-bind-address", pprof_bind_address),
            ("--tmp-directory", tmp_directory),
            ("--kine-image", kine_image),
            ("--migrate-image", migrate_image),
            ("--webhook-ca-path", webhook_ca_path),
            ("--cache-resync-period", cache_resync_period),
            (
                "--certificate-expiration-deadline",
                certificate_expiration_deadline,
            ),
            ("--trigger-channel-buffer-size", trigger_channel_buffer_size),
            ("--trigger-channel-timeout", trigger_channel_timeout),
            ("--disable-telemetry", disable_telemetry),
            ("--zap-devel", zap_devel),
            ("--zap-encoder", zap_encoder),
            ("--zap-log-level", zap_log_level),
            ("--zap-stacktrace-level", zap_stacktrace_level),
            ("--zap-time-encoding", zap_time_encoding),
        ];
        flags
            .into_iter()
            .filter(|(_, value)| value.is_some())
            .map(|(flag, _)| flag)
            .collect()
    }
}
