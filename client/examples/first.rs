//! Writes, reads, makes a sibling on purpose, merges it, deletes.
//!
//! Run it against a local cluster: `eval "$(node/cluster.sh env)" && cargo run --example first`.

use std::env;
use std::error::Error;

use quorate_client::{Client, TlsFiles};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let seeds = env::var("QUORATE_SEEDS")?;
    let client = Client::builder()
        .seeds(seeds.split(','))
        .tls(TlsFiles {
            ca: env::var_os("QUORATE_CA")
                .ok_or("QUORATE_CA is not set")?
                .into(),
            cert: env::var_os("QUORATE_CERT")
                .ok_or("QUORATE_CERT is not set")?
                .into(),
            key: env::var_os("QUORATE_KEY")
                .ok_or("QUORATE_KEY is not set")?
                .into(),
        })
        .connect()
        .await?;
    let bucket = client.bucket("default");

    // Two writes that have not seen each other: both are kept.
    bucket.put("fruit", "apple").send().await?;
    bucket.put("fruit", "pear").send().await?;
    let read = bucket.get("fruit").send().await?;
    println!("{} values stand side by side:", read.siblings.len());
    for value in &read.siblings {
        println!(
            "  {} (dot {})",
            String::from_utf8_lossy(&value.data),
            value.dot
        );
    }

    // Read, merge, write with the context of the read: one value is left.
    let merged = bucket
        .update("fruit", |siblings| {
            let mut all: Vec<_> = siblings.iter().map(|value| value.data.as_ref()).collect();
            all.sort_unstable();
            all.join(&b" and "[..]).into()
        })
        .send()
        .await?;
    println!("after merging: {} value", merged.siblings);

    // How an answer comes about.
    let read = bucket.get("fruit").r(3).explain().send().await?;
    println!("{}", read.info.reason);

    bucket.delete("fruit").context(read.context).send().await?;
    println!(
        "found after deleting: {}",
        bucket.get("fruit").send().await?.is_found()
    );
    client.close().await;
    Ok(())
}
