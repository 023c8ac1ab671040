//! Steps 1 to 4: size, version and kind, form, federation.

use super::Book;
use crate::bytes::{Writer, longer_integers};
use crate::forge::{CREATED_MS, FOUNDED_MS, Forge, SEED};
use watchfire_crypto::Signature;
use watchfire_protocol::ids::FederationId;
use watchfire_protocol::limits::FRAME_BYTES_MAX;
use watchfire_protocol::wire::codec;

pub(super) fn write(book: &mut Book<'_>) {
    size_and_version(book);
    frame_form(book);
    header_form(book);
    federation(book);
}

fn size_and_version(book: &mut Book<'_>) {
    let mut long = vec![0; FRAME_BYTES_MAX + 1];
    long[..2].copy_from_slice(&[1, 15]);
    book.reject(
        1,
        "frame-too-long",
        "frame-one-byte-too-long",
        "49,153 bytes",
        long.clone(),
    );
    long[0] = 2;
    book.reject(
        1,
        "frame-too-long",
        "frame-too-long-of-a-later-version",
        "size comes before version",
        long,
    );

    book.reject(
        2,
        "frame-too-short",
        "frame-empty",
        "no byte at all",
        Vec::new(),
    );
    book.reject(
        2,
        "frame-too-short",
        "frame-of-one-byte",
        "a version and no kind",
        vec![1],
    );
    let good = book.forge.sign(0, &book.forge.plain(0));
    let with = |version, kind| [&[version, kind], &good[2..]].concat();
    let unknown = "frame-unknown";
    book.ignore(
        2,
        unknown,
        "frame-version-0",
        "there is no version 0",
        with(0, 15),
    );
    book.ignore(
        2,
        unknown,
        "frame-version-2",
        "a later version",
        with(2, 15),
    );
    book.ignore(2, unknown, "frame-kind-0", "there is no kind 0", with(1, 0));
    book.ignore(
        2,
        unknown,
        "frame-kind-prekey",
        "a kind that stands inside an envelope alone",
        with(1, 9),
    );
    book.ignore(
        2,
        unknown,
        "frame-kind-genesis",
        "a kind that never has its own frame",
        with(1, 2),
    );
    book.ignore(
        2,
        unknown,
        "frame-kind-of-a-later-version",
        "nobody knows it yet",
        with(1, 22),
    );
    book.ignore(
        2,
        unknown,
        "frame-of-two-bytes-unknown",
        "an unknown kind and nothing after it",
        vec![1, 22],
    );
}

fn frame_form(book: &mut Book<'_>) {
    let forge = book.forge;
    let cast = forge.plain(0);
    let good = forge.sign(0, &cast);
    let reject =
        |book: &mut Book<'_>, rule, name, what, frame| book.reject(3, rule, name, what, frame);

    reject(
        book,
        "frame-malformed",
        "frame-without-envelope",
        "version and kind, and nothing after them",
        vec![1, 15],
    );
    let cut = good[..good.len() - 1].to_vec();
    reject(
        book,
        "frame-malformed",
        "frame-cut-off",
        "the last byte is missing",
        cut,
    );
    let trailing = [good.as_slice(), &[0]].concat();
    reject(
        book,
        "frame-trailing",
        "frame-trailing-byte",
        "a byte follows the envelope",
        trailing,
    );
    // The header's length is the first byte of the envelope that is an integer.
    let longer = longer_integers(&good)[6..]
        .iter()
        .find(|frame| frame[2] > 250)
        .unwrap()
        .clone();
    reject(
        book,
        "frame-not-canonical",
        "frame-length-not-minimal",
        "the header's length takes more bytes than it needs",
        longer,
    );

    let header = codec::encode(&cast.header);
    let start = 2 + Writer::new().bytes(&header).into_vec().len() + 64;
    let mut option = good.clone();
    option[start] = 2;
    reject(
        book,
        "frame-malformed",
        "frame-option-of-2",
        "the option of the second signature is neither 0 nor 1",
        option,
    );

    let bomb = Writer::new().raw(&[1, 15]).integer(1 << 63).into_vec();
    reject(
        book,
        "frame-malformed",
        "frame-length-bomb",
        "a header of 2^63 bytes in nine",
        bomb,
    );
    let mut large = cast.clone();
    large.second_signature = Some(vec![0; 4_097]);
    reject(
        book,
        "frame-malformed",
        "frame-second-signature-too-long",
        "4,097 bytes",
        forge.sign(0, &large),
    );
    let large = cast.clone().with_head(vec![0; 8_209]);
    reject(
        book,
        "frame-malformed",
        "frame-head-too-long",
        "8,209 bytes",
        forge.sign(0, &large),
    );
    let mut large = cast.clone();
    large.payload = Some(vec![0; 32_769]);
    large.bind();
    reject(
        book,
        "frame-malformed",
        "frame-payload-too-long",
        "32,769 bytes in the frame",
        forge.sign(0, &large),
    );
    let padded = [header.as_slice(), &[0; 1_024]].concat();
    reject(
        book,
        "frame-malformed",
        "frame-header-too-long",
        "over 1,024 bytes",
        forge.sign_header(0, &padded, &cast),
    );
}

fn header_form(book: &mut Book<'_>) {
    let forge = book.forge;
    let cast = forge.plain(0);
    let header = codec::encode(&cast.header);
    // Federation, author and certificate are 96 bytes; the epoch follows, then
    // five bytes of expiry hour, then the class.
    let (epoch, class) = (96, 102);
    let signed = |header: &[u8]| forge.sign_header(0, header, &cast);

    let longer = [&header[..epoch], &[251, 0, 0], &header[epoch + 1..]].concat();
    book.reject(
        3,
        "header-not-canonical",
        "header-epoch-not-minimal",
        "epoch 0 in three bytes, under a good signature",
        signed(&longer),
    );
    let trailing = [header.as_slice(), &[0]].concat();
    book.reject(
        3,
        "header-trailing",
        "header-trailing-byte",
        "a byte follows the header, under a good signature",
        signed(&trailing),
    );
    let cut = &header[..header.len() - 1];
    book.reject(
        3,
        "header-malformed",
        "header-cut-off",
        "its last byte is missing, under a good signature",
        signed(cut),
    );
    let mut variant = header.clone();
    assert_eq!(variant[class], 0, "class open stands at byte {class}");
    variant[class] = 3;
    book.reject(
        3,
        "header-malformed",
        "header-class-3",
        "there are three classes",
        signed(&variant),
    );
    book.reject(
        3,
        "header-malformed",
        "header-empty",
        "a header of no bytes",
        signed(&[]),
    );
    let mut option = header.clone();
    let last = option.len() - 1;
    option[last] = 2;
    book.reject(
        3,
        "header-malformed",
        "header-option-of-2",
        "the last option is neither 0 nor 1",
        signed(&option),
    );

    let sealed = forge.sealed(1, None, None);
    let bytes = codec::encode(&sealed.header);
    let at = bytes
        .windows(57)
        .position(|window| window[0] == 56 && window[1..] == [0x5e; 56])
        .unwrap();
    let long = [
        &bytes[..at],
        &Writer::new().bytes(&[0x5e; 257]).into_vec(),
        &bytes[at + 57..],
    ]
    .concat();
    let frame = forge.sign_header(1, &long, &sealed);
    book.reject(
        3,
        "header-malformed",
        "header-sealing-too-long",
        "257 bytes of key id and nonce",
        frame,
    );

    let nobody = Signature::from_bytes([0; 64]);
    let frame = cast.frame(&longer, &nobody);
    book.reject(
        3,
        "header-not-canonical",
        "header-not-minimal-and-unsigned",
        "form comes before signature",
        frame,
    );
}

fn federation(book: &mut Book<'_>) {
    let forge = book.forge;
    let elsewhere = Forge::of(&[0x58; 32]);
    let frame = elsewhere.sign(0, &elsewhere.plain(0));
    book.reject(
        4,
        "other-federation",
        "federation-of-others",
        "good where it was made, with members unknown here",
        frame,
    );
    // The same three members, the same keys, another founding day.
    let elsewhere = Forge::founded(&SEED, FOUNDED_MS - 1_000);
    let frame = elsewhere.sign(0, &elsewhere.plain(0));
    book.reject(
        4,
        "other-federation",
        "federation-of-the-same-members",
        "a replay between two federations of the same roots",
        frame,
    );
    let mut cast = forge.plain(0);
    let mut id = *forge.roster.federation().as_bytes();
    id[31] ^= 1;
    cast.header.prefix.federation = FederationId::from_bytes(id);
    book.reject(
        4,
        "other-federation",
        "federation-off-by-one-bit",
        "signed by a member of this one",
        forge.sign(0, &cast),
    );
    let mut cast = elsewhere.direct(0);
    cast.header.prefix.expiry_hour = u32::try_from(CREATED_MS / 3_600_000).unwrap();
    book.reject(
        4,
        "other-federation",
        "federation-before-class",
        "a direct envelope of another federation",
        elsewhere.sign(0, &cast),
    );
}
