package import JSON
package import JSONSchema

/// The answers that an OpenAPI document gives as examples, ready to send. Immutable; made once, when the policy is read.
///
/// Of each response and media type: its `example`, its `examples` by name, else the example of its schema, else a value made from
/// the schema. A response without content is an answer without a body.
package final class MockPlan: Sendable {
    /// One way to answer.
    package struct Example: Sendable {
        /// Its name among `examples`; nil: the only one.
        package let name: String?
        package let body: [UInt8]
    }

    package struct Media: Sendable {
        package let type: String
        package let examples: [Example]
    }

    package struct Response: Sendable {
        package let status: Int
        /// A class such as `4XX`, or `default`: it stands for other statuses too.
        package let isRange: Bool
        package let isDefault: Bool
        package let media: [Media]
    }

    /// By operation, in order of the document.
    private let responses: [[Response]]
    private let tree: PathTree

    /// Operations of one document at most, and bytes of all bodies.
    package static let operationsMax: Int = 5000
    package static let bytesMax: Int = 4 << 20

    /// Throws the first thing in the document that cannot be answered by, with its place.
    package init(_ document: JSONValue) throws(SchemaError) {
        var reader: ExampleReader = ExampleReader(document)
        let operations: [ExampleReader.Operation] = try reader.read()
        self.responses = operations.map { $0.responses }
        self.tree = PathTree(operations.map { ($0.method, $0.segments) })
    }

    /// The responses of the operation of a path in normal form; nil: there is none.
    package func responses(_ method: String, path: String) -> [Response]? {
        self.tree.operation(method, path: path).map { self.responses[$0] }
    }
}

extension MockPlan {
    /// What to answer: the status that is preferred where the document has it, else the first success, else the first response.
    /// With the status, which a range or `default` takes from the preference.
    package static func choose(
        _ responses: [Response], status preferred: Int?
    ) -> (response: Response, status: Int, isPreferred: Bool)? {
        if let preferred: Int {
            for response in responses where response.status == preferred && !response.isRange && !response.isDefault {
                return (response, preferred, true)
            }
            for response in responses where response.isRange && response.status / 100 == preferred / 100 {
                return (response, preferred, true)
            }
            for response in responses where response.isDefault { return (response, preferred, true) }
        }
        let successes: [Response] = responses.filter { $0.status / 100 == 2 && !$0.isDefault }
        guard let response: Response = successes.min(by: { $0.status < $1.status }) ?? responses.first else {
            return nil
        }
        return (response, response.status, false)
    }

    /// The media type that the client takes, else the first one.
    package static func media(_ media: [Media], accept: String?) -> Media? {
        guard let accept: String = accept?.lowercased() else { return media.first }
        for range in accept.split(separator: ",") {
            let essence: String = MediaRange.essence(String(range))
            for one in media {
                let main: Substring = one.type.prefix { $0 != "/" }
                if essence == one.type || essence == "\(main)/*" || essence == "*/*" { return one }
            }
        }
        return media.first
    }
}
