/// The answers a server makes itself, before or instead of a handler: RFC 9457 problem documents.
struct ServerProblem {
    let status: Int
    let detail: String

    init(status: Int, detail: String) {
        self.status = status
        self.detail = detail
    }

    init(_ refusal: HTTPRefusal) {
        self.init(status: refusal.status, detail: refusal.detail.description)
    }

    static func bodyTooLarge(limit: Int) -> ServerProblem {
        ServerProblem(status: 413, detail: "The body has more than \(limit) bytes.")
    }

    static let headTimeout: ServerProblem = ServerProblem(
        status: 408, detail: "The head of the request did not arrive in time.")
    static let bodyTimeout: ServerProblem = ServerProblem(
        status: 408, detail: "The body of the request did not arrive in time.")
    static let connectMethod: ServerProblem = ServerProblem(status: 501, detail: "CONNECT is not spoken here.")
    static let plainHTTP: ServerProblem = ServerProblem(
        status: 400, detail: "This port speaks TLS: the address begins with https.")
    static let tooManyConnections: ServerProblem = ServerProblem(
        status: 503, detail: "The server holds as many connections as it may.")
    static let invalidResponse: ServerProblem = ServerProblem(
        status: 500, detail: "The answer of the server could not be written.")

    /// The document. Details are our own ASCII sentences without quotes, backslashes or control characters, so that they
    /// stand in JSON as they are.
    var document: [UInt8] {
        let title: String = HTTPStatus.reason(self.status)
        let text: String =
            "{\"type\":\"about:blank\",\"title\":\"\(title)\",\"status\":\(self.status),\"detail\":\"\(self.detail)\"}\n"
        return Array(text.utf8)
    }

    var response: HTTPResponse {
        var fields: HTTPFields = ["content-type": "application/problem+json"]
        if self.status == 503 { fields.append("retry-after", "1") }
        return HTTPResponse(status: self.status, fields: fields, body: .bytes(self.document))
    }
}
