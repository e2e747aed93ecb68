//! Watches the Workload API with the crate `spiffe`, and prints each update as a line of JSON.

use serde_json::json;
use spiffe::X509Source;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = X509Source::new().await?;
    let mut updates = source.updated();
    loop {
        // An identity that is gone is not an update.
        if let Ok(context) = source.x509_context() {
            let svids = context.svids();
            let leaf = svids[0].cert_chain()[0].as_bytes();
            let bundles: Vec<_> = context.bundle_set().iter().collect();
            let mut domains: Vec<_> = bundles.iter().map(|(domain, _)| format!("spiffe://{domain}")).collect();
            domains.sort();
            let line = json!({
                "ids": svids.iter().map(|svid| svid.spiffe_id().to_string()).collect::<Vec<_>>(),
                // The number alone needs a reader of certificates; what is asked is whether it is another one.
                "serial": leaf.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                "domains": domains,
                "roots": bundles.iter().map(|(_, bundle)| bundle.authorities().len()).sum::<usize>(),
            });
            println!("{line}");
        }
        updates.changed().await?;
    }
}
