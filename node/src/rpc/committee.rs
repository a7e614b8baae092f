//! The methods about committees and certificates.

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::RpcModule;
use jsonrpsee::types::Params;

use super::arguments::Arguments;
use super::backend::Backend;
use super::calls::to_error;
use super::methods::{BLOCK, Desk, plain, without_parameters};
use super::types::{BlockReference, Refusal};

pub(super) fn register<B: Backend>(module: &mut RpcModule<Desk<B>>) -> Result<(), RegisterMethodError> {
    module.register_method("synod_validators", |params, desk, _| {
        without_parameters(&params)?;
        desk.backend.validators().map(|view| plain(&view)).map_err(to_error)
    })?;
    module.register_async_method("synod_certificate", |params, desk, extensions| async move {
        let at = only_block(&params).map_err(to_error)?;
        desk.read(&extensions, move |backend| backend.certificate(at)).await
    })?;
    module.register_async_method("synod_evidence", |params, desk, extensions| async move {
        without_parameters(&params)?;
        desk.read(&extensions, |backend| backend.evidence()).await
    })?;
    module.register_async_method("synod_readIndex", |params, desk, _| async move {
        without_parameters(&params)?;
        desk.backend.read_index().await.map(|view| plain(&view)).map_err(to_error)
    })?;
    Ok(())
}

fn only_block(params: &Params<'_>) -> Result<Option<BlockReference>, Refusal> {
    let mut arguments = Arguments::of(params)?;
    let at = arguments.optional("block", BLOCK)?;
    arguments.end().map(|()| at)
}
