//! Reads pcapng files of USB traffic, ours and others': enough to judge a trace record by record. It must not share code with what writes
//! them, but for the layout of usbmon's header.

use anyhow::{Context, Result, bail, ensure};
use outboard_core::usb::trace::usbmon::{Header, LENGTH, LINK_TYPE};

/// A record of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since 1970, UTC.
    pub time: u64,
    /// usbmon's header.
    pub header: Header,
    /// The data that is there.
    pub data: Vec<u8>,
    /// Bytes of data before some were left out.
    pub original: usize,
    /// Somebody wrote a remark beside it: here, that it was not on the bus.
    pub remark: Option<String>,
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// In the file's order.
    pub records: Vec<Record>,
    /// Packets that there were, by the interface's own count at its end; `None` if the file has no end.
    pub counted: Option<u64>,
}

impl Capture {
    /// Reads a little-endian file of one section and one interface whose times are nanoseconds.
    ///
    /// # Errors
    /// It is anything else, or breaks off.
    pub fn parse(mut bytes: &[u8]) -> Result<Self> {
        let mut capture = Self::default();
        let mut interfaces = 0;
        let mut first = true;
        while !bytes.is_empty() {
            let (kind, body, rest) = block(bytes)?;
            ensure!(first == (kind == 0x0a0d_0d0a), "a file has one section header, at its beginning");
            match kind {
                0x0a0d_0d0a => {
                    ensure!(number(body, 0)? == 0x1a2b_3c4d, "not little-endian");
                    options(body.get(16..).context("a short section header")?)?;
                }
                1 => {
                    interfaces += 1;
                    let link_type = number(body, 0)? & 0xffff;
                    ensure!(link_type == u32::from(LINK_TYPE), "link type {link_type}");
                    let options = options(body.get(8..).context("a short interface")?)?;
                    ensure!(options.contains(&(9, &[9][..])), "times are not nanoseconds");
                }
                5 => {
                    let options = options(body.get(12..).context("short statistics")?)?;
                    let counted = options.iter().find(|(code, _)| *code == 4).map(|(_, value)| *value);
                    let counted = <[u8; 8]>::try_from(counted.context("statistics that count nothing")?)?;
                    capture.counted = Some(u64::from_le_bytes(counted));
                }
                6 => {
                    ensure!(interfaces == 1 && number(body, 0)? == 0, "a packet of no known interface");
                    capture.records.push(record(body)?);
                }
                other => bail!("a block of type {other:#x}"),
            }
            first = false;
            bytes = rest;
        }
        ensure!(interfaces == 1, "{interfaces} interfaces");
        Ok(capture)
    }

    /// The records of what was on the bus.
    pub fn on_the_bus(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.remark.is_none())
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u32> {
    let bytes = bytes.get(at..at + 4).context("a block is too short")?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

fn block(bytes: &[u8]) -> Result<(u32, &[u8], &[u8])> {
    let (kind, length) = (number(bytes, 0)?, number(bytes, 4)? as usize);
    ensure!(length >= 12 && length.is_multiple_of(4) && length <= bytes.len(), "a block of {length} bytes");
    let (block, rest) = bytes.split_at(length);
    ensure!(number(block, length - 4)? as usize == length, "a block whose two lengths differ");
    Ok((kind, &block[8..length - 4], rest))
}

fn options(mut bytes: &[u8]) -> Result<Vec<(u16, &[u8])>> {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let head = number(bytes, 0)?;
        let (code, length) = (head as u16, (head >> 16) as usize);
        if code == 0 {
            ensure!(length == 0 && bytes.len() == 4, "options go on behind their end");
            return Ok(options);
        }
        options.push((code, bytes.get(4..4 + length).context("an option is too long")?));
        bytes = bytes.get(4 + length.next_multiple_of(4)..).context("an option is too long")?;
    }
    Ok(options)
}

fn record(body: &[u8]) -> Result<Record> {
    let (high, low) = (number(body, 4)?, number(body, 8)?);
    let (captured, original) = (number(body, 12)? as usize, number(body, 16)? as usize);
    ensure!((LENGTH..=original).contains(&captured), "{captured} of {original} bytes");
    let packet = body.get(20..20 + captured).context("a packet is longer than its block")?;
    let behind = body.get(20 + captured.next_multiple_of(4)..).context("a packet without its padding")?;
    let header = Header::from_bytes(packet[..LENGTH].try_into()?);
    let data = packet[LENGTH..].to_vec();
    ensure!(header.captured as usize == data.len(), "usbmon's header and the block differ on what is kept");
    let remark = options(behind)?.iter().find(|(code, _)| *code == 1).map(|(_, text)| *text);
    let remark = remark.map(|text| String::from_utf8(text.to_vec())).transpose()?;
    let time = u64::from(high) << 32 | u64::from(low);
    Ok(Record { time, header, data, original: original - LENGTH, remark })
}
