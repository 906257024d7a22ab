/// Reason phrases of the status codes of RFC 9110, section 15, RFC 6585 and RFC 8297.
package enum HTTPStatus {
    /// The registered phrase, or an empty one: a client must not rely on it (RFC 9112, section 4).
    package static func reason(_ code: Int) -> String {
        guard code >= 100, code < 600 else { return "" }
        let group: [String] = self.phrases[code / 100 - 1]
        let index: Int = code % 100
        return index < group.count ? group[index] : ""
    }

    /// Codes whose responses have no content whatever the fields say (RFC 9110, section 6.4.1).
    package static func hasContent(_ code: Int) -> Bool {
        code >= 200 && code != 204 && code != 304
    }

    /// One row a hundred; an empty phrase is a code that is not registered.
    private static let phrases: [[String]] = [
        ["Continue", "Switching Protocols", "Processing", "Early Hints"],
        [
            "OK", "Created", "Accepted", "Non-Authoritative Information", "No Content", "Reset Content",
            "Partial Content",
            "Multi-Status", "Already Reported",
        ],
        [
            "Multiple Choices", "Moved Permanently", "Found", "See Other", "Not Modified", "Use Proxy", "",
            "Temporary Redirect", "Permanent Redirect",
        ],
        [
            "Bad Request", "Unauthorized", "Payment Required", "Forbidden", "Not Found", "Method Not Allowed",
            "Not Acceptable", "Proxy Authentication Required", "Request Timeout", "Conflict", "Gone", "Length Required",
            "Precondition Failed", "Content Too Large", "URI Too Long", "Unsupported Media Type",
            "Range Not Satisfiable",
            "Expectation Failed", "", "", "", "Misdirected Request", "Unprocessable Content", "Locked",
            "Failed Dependency",
            "Too Early", "Upgrade Required", "", "Precondition Required", "Too Many Requests", "",
            "Request Header Fields Too Large",
        ],
        [
            "Internal Server Error", "Not Implemented", "Bad Gateway", "Service Unavailable", "Gateway Timeout",
            "HTTP Version Not Supported", "Variant Also Negotiates", "Insufficient Storage", "Loop Detected", "",
            "Not Extended", "Network Authentication Required",
        ],
    ]
}
