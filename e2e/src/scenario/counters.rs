//! What the tunnel's servers have counted: in, a metric and labels of it; out, the sum over all control-plane pods.

use crate::demo::Demo;
use crate::error::Result;
use crate::replica;

/// The sum of all lines of `metric`, without the prefix that all of them have, that carry these labels.
pub(super) async fn counted(demo: &Demo, metric: &str, labels: &[&str]) -> Result<u64> {
    let start = format!("konnectivity_network_proxy_server_{metric}{{");
    let mut sum = 0;
    for pod in demo.tenant.pods().await? {
        let text = replica::metrics(&demo.lab, &pod).await?;
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&start) && labels.iter().all(|it| line.contains(it)));
        sum += lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(sum)
}
