/// Why a message was not accepted: the status a request earns with it, and words for people.
///
/// After any of these the position of the next message is unknown, so the connection is closed.
package enum HTTPRefusal: UInt8, Sendable, CaseIterable {
    // The start line.
    case startLine, method, target, percentEncoding, version, targetTooLong
    // Fields.
    case headTooLarge, tooManyFields, bareLineFeed, bareCarriageReturn, foldedLine, fieldName, fieldValue
    // What fields say about the message.
    case hostMissing, hostRepeated, host, hostDiffers
    case contentLength, contentLengthRepeated, lengthAndCoding, transferCoding, codingInOldVersion, connectionOption
    case expectation
    // Responses.
    case statusLine
    // Chunked bodies.
    case chunkSize, chunkExtension, chunkEnd, trailers, trailersTooLarge

    /// The status of the answer to a request with this fault. A response with it is answered by 502 instead.
    package var status: Int {
        switch self {
        case .targetTooLong: 414
        case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .version: 505
        case .expectation: 417
        default: 400
        }
    }

    /// One sentence for a problem document or a log line.
    package var detail: StaticString {
        switch self {
        case .startLine: "The request line is not METHOD SP TARGET SP HTTP/1.1."
        case .method: "The method is not a token of at most 24 characters."
        case .target: "The request target holds characters or a form that HTTP does not allow."
        case .percentEncoding: "A percent sign in the request target is not followed by two hexadecimal digits."
        case .version: "Only HTTP/1.0 and HTTP/1.1 are spoken here."
        case .targetTooLong: "The request target is longer than the limit."
        case .headTooLarge: "The header section is larger than the limit."
        case .tooManyFields: "The header section has more fields than the limit."
        case .bareLineFeed: "A line ends in LF without CR."
        case .bareCarriageReturn: "CR stands without LF."
        case .foldedLine: "A header line begins with white space."
        case .fieldName:
            "A field name is empty, or holds a character that is not allowed, or is not followed by a colon."
        case .fieldValue: "A field value holds a control character."
        case .hostMissing: "HTTP/1.1 requires a Host field."
        case .hostRepeated: "There is more than one Host field."
        case .host: "The Host field is not HOST or HOST:PORT."
        case .hostDiffers: "The Host field differs from the authority in the request target."
        case .contentLength: "Content-Length is not a decimal number within range."
        case .contentLengthRepeated: "There is more than one Content-Length."
        case .lengthAndCoding: "Content-Length and Transfer-Encoding stand together."
        case .transferCoding: "The only transfer coding accepted is chunked, once."
        case .codingInOldVersion: "Transfer-Encoding is not defined in HTTP/1.0."
        case .connectionOption: "The Connection field is malformed or names a field that frames the message."
        case .expectation: "The only expectation met here is 100-continue."
        case .statusLine: "The status line is not HTTP/1.1 SP STATUS SP REASON."
        case .chunkSize: "A chunk size is not a hexadecimal number within range."
        case .chunkExtension: "A chunk extension is malformed or too long."
        case .chunkEnd: "A chunk is not followed by CR LF."
        case .trailers: "The trailer section is malformed."
        case .trailersTooLarge: "The trailer section is larger than the limit."
        }
    }
}
