//! `object_store::local::LocalFileSystem` with `with_fsync(true)`, step by step on a [`Process`] of the disk
//! that lies: what it creates, writes, syncs, links, renames and removes, in its order (version 0.14.2).

use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use pelton_dataflow::directories::Directories;

use crate::disk::Process;

#[derive(Debug)]
pub struct LocalStore {
    process: Process,
    root: PathBuf,
}

impl LocalStore {
    pub fn new(process: Process, root: &str) -> Self {
        Self { process, root: root.into() }
    }

    fn file(&self, path: &Path) -> PathBuf {
        self.root.join(path.as_ref())
    }

    fn meta(location: Path, size: usize) -> ObjectMeta {
        let last_modified = Default::default();
        ObjectMeta { location, last_modified, size: size as u64, e_tag: None, version: None }
    }
}

impl std::fmt::Display for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a local store on a disk that lies")
    }
}

fn failed(path: &FilePath) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path, source: source.into() },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        _ => Error::Generic { store: "local", source: source.into() },
    }
}

fn done() -> PutResult {
    PutResult { e_tag: None, version: None, extensions: Default::default() }
}

/// `create_parent_dirs`: of the directories that are missing, and of the first that is not.
fn make_parents(process: &Process, file: &FilePath) -> io::Result<()> {
    let parent = file.parent().unwrap();
    let missing: Vec<&FilePath> = parent.ancestors().take_while(|dir| !process.is_there(dir)).collect();
    for dir in missing.iter().rev() {
        process.make(dir)?;
    }
    parent.ancestors().take(missing.len() + 1).try_for_each(|dir| process.sync(dir))
}

/// `new_staged_upload`.
fn stage(process: &Process, file: &FilePath) -> Result<(u64, PathBuf)> {
    let mut suffix = 1;
    loop {
        let staged = PathBuf::from(format!("{}#{suffix}", file.display()));
        match process.create(&staged) {
            Ok(inode) => return Ok((inode, staged)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => suffix += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_parents(process, &staged).map_err(failed(file))?;
            }
            Err(error) => return Err(failed(&staged)(error)),
        }
    }
}

fn publish(
    process: &Process,
    inode: u64,
    staged: &FilePath,
    file: &FilePath,
    create: bool,
) -> io::Result<()> {
    process.sync_file(inode)?;
    match create {
        true => process.link(inode, file)?,
        false => process.rename(staged, file)?,
    }
    process.sync(file.parent().unwrap())?;
    if create {
        let _ = process.remove(staged);
    }
    Ok(())
}

#[async_trait::async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let file = self.file(path);
        let (inode, staged) = stage(&self.process, &file)?;
        let written = self.process.append(inode, &Bytes::from(payload));
        let create = options.mode == PutMode::Create;
        match written.and_then(|()| publish(&self.process, inode, &staged, &file, create)) {
            Ok(()) => Ok(done()),
            Err(error) => {
                let _ = self.process.remove(&staged);
                Err(failed(&file)(error))
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let file = self.file(path);
        let (inode, staged) = stage(&self.process, &file)?;
        Ok(Box::new(Upload { process: self.process.clone(), inode, staged, file }))
    }

    async fn get_opts(&self, path: &Path, _: GetOptions) -> Result<GetResult> {
        let file = self.file(path);
        let bytes = Bytes::from(self.process.read(&file).map_err(failed(&file))?);
        let (meta, range) = (Self::meta(path.clone(), bytes.len()), 0..bytes.len() as u64);
        let payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
        let (attributes, extensions) = Default::default();
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (process, root) = (self.process.clone(), self.root.clone());
        let delete = move |path: Result<Path>| {
            let path = path?;
            let file = root.join(path.as_ref());
            // Not synced, whatever the store was told.
            process.remove(&file).map_err(failed(&file))?;
            Ok(path)
        };
        paths.map(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let below = prefix.map_or_else(|| self.root.clone(), |prefix| self.file(prefix));
        let found = match self.process.walk(&below) {
            Ok(found) => found,
            Err(error) => return stream::iter([Err(failed(&below)(error))]).boxed(),
        };
        let is_staged = |path: &FilePath| path.to_string_lossy().contains('#');
        let found = found.into_iter().filter(|(path, _)| !is_staged(path)).map(|(path, size)| {
            let path = path.strip_prefix(&self.root).unwrap().to_str().unwrap();
            Ok(Self::meta(Path::parse(path)?, size))
        });
        stream::iter(found.collect::<Vec<_>>()).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unreachable!("the checkpoint store lists whole prefixes")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("the checkpoint store copies nothing")
    }
}

#[derive(Debug)]
struct Upload {
    process: Process,
    inode: u64,
    staged: PathBuf,
    file: PathBuf,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let written = self.process.append(self.inode, &Bytes::from(data)).map_err(failed(&self.staged));
        async { written }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        publish(&self.process, self.inode, &self.staged, &self.file, false).map_err(failed(&self.file))?;
        Ok(done())
    }

    async fn abort(&mut self) -> Result<()> {
        self.process.remove(&self.staged).map_err(failed(&self.staged))
    }
}
