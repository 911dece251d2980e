//! Maps of pages on their way into the repository.
use super::{
    packer::Finished,
    upload::{UploadEnded, Uploader},
};
use crate::{
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout,
        manifest::MapRef,
        map::FileMap,
        object::{FRAME_TARGET, FrameRef, ObjectBuilder},
    },
    repo::Repository,
};

/// Joins the maps of many files into frames of one object.
#[derive(Debug)]
pub(super) struct MapWriter {
    uploader: Option<Uploader>,
    builder: ObjectBuilder,
    object: ObjectId,
    begin: Option<(String, [u8; crate::format::object::HEADER_SIZE])>,
    frame: Vec<u8>,
    waiting: Vec<(usize, u64, u32, u32)>,
    finished: Vec<Finished>,
}

impl MapWriter {
    pub(super) fn new(uploader: Uploader, repository: &Repository, system: u64, lineage: ObjectId) -> Self {
        let object = ObjectId::random();
        let (header, sealer) = repository.new_object(object, ObjectKind::Map);
        Self {
            uploader: Some(uploader),
            builder: ObjectBuilder::new(sealer, repository.level),
            object,
            begin: Some((layout::map(system, lineage, object), header.encode())),
            frame: Vec::new(),
            waiting: Vec::new(),
            finished: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, entry: usize, map: &FileMap) -> Result<(), UploadEnded> {
        let start = self.frame.len();
        map.encode(&mut self.frame);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.waiting.push((entry, map.size, number(start), number(self.frame.len() - start)));
        if self.frame.len() >= FRAME_TARGET { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), UploadEnded> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let uploader = self.uploader.as_mut().ok_or(UploadEnded)?;
        if let Some((key, header)) = self.begin.take() {
            uploader.begin(key, &header)?;
        }
        let (frame, sealed): (FrameRef, _) = self.builder.frame(&self.frame);
        uploader.push(&sealed)?;
        self.frame.clear();
        for (entry, size, start, length) in self.waiting.drain(..) {
            let map = Some(MapRef { object: self.object, frame, start, length });
            self.finished.push(Finished { entry, size, map });
        }
        Ok(())
    }

    /// Ends the upload without its last bytes: nobody waits for them.
    pub(super) fn abandon(&mut self) {
        self.uploader = None;
    }

    pub(super) fn close(&mut self) -> Result<Vec<Finished>, UploadEnded> {
        self.flush()?;
        // Nothing changed at all: no object.
        if self.begin.is_none() {
            let end = self.builder.finish();
            let uploader = self.uploader.as_mut().ok_or(UploadEnded)?;
            uploader.push(&end)?;
            uploader.end()?;
        }
        Ok(std::mem::take(&mut self.finished))
    }
}
