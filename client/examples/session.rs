//! Reads its own writes through any node, at r = 1, and carries the session on as text.
//!
//! Run it against a local cluster: `eval "$(node/cluster.sh env)" && cargo run --example session`.

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

    let session = client.session();
    let read = session.bucket("default").get("counter").send().await?;
    session
        .bucket("default")
        .put("counter", "1")
        .context(read.context)
        .w(1)
        .send()
        .await?;
    let token = session.export();
    println!("the session as text: {token}");

    // Another client, each time through another node: none of them may miss the write.
    for member in &client.map().members {
        let other = client.through(member.id).session();
        other.import(&token)?;
        let read = other.bucket("default").get("counter").r(1).send().await?;
        println!(
            "{} answers with {} value(s)",
            member.name,
            read.siblings.len()
        );
    }
    client.close().await;
    Ok(())
}
