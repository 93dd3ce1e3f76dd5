//! `quorate delete`: deletes a key.

use clap::Args;

use crate::cmd::put::Change;
use crate::options::Place;
use crate::outcome::Done;
use crate::output::Out;

/// Delete a key
///
/// Without a context, what is there when the cluster looks is deleted.
#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    change: Change,
}

pub(crate) async fn run(args: Delete, out: &mut Out) -> Done {
    let (key, context) = (args.place.key()?, args.change.context()?);
    let client = args.change.connect.client().await?;
    let session = args.change.session.open(&client)?;
    let mut delete = session
        .bucket(&args.place.bucket)
        .delete(&key)
        .options(args.change.writing.options());
    if let Some(context) = context {
        delete = delete.context(context);
    }
    let write = delete.send().await?;
    args.change.session.save(&session)?;
    args.change.report(&client.map(), &write, out)?;
    client.close().await;
    Ok(())
}
