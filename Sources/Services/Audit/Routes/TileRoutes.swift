import Contracts
import HTTP
import REST
import Store

extension AuditService {
    /// The tree's tiles at the addresses of C2SP tlog-tiles, `/v1/audit` being the log's prefix.
    ///
    /// The index of a tile has a path segment for every three digits, so there is a route for each length; ten billion entries
    /// need three.
    var tileRoutes: [Route] {
        let shapes: [String] = ["{n}", "{n}/{n2}", "{n}/{n2}/{n3}", "{n}/{n2}/{n3}/{n4}"]
        var routes: [Route] = []
        for (index, shape) in shapes.enumerated() {
            routes.append(
                Route(
                    "GET", "/v1/audit/tile/{level}/\(shape)", operationID: "getAuditTile\(index + 1)", tag: Self.name,
                    summary:
                        "A tile of the audit tree (C2SP tlog-tiles): up to 256 hashes of 32 bytes; of level `entries` the entries themselves.",
                    access: .platform(Self.read),
                    answers: [Answer(200, "Hashes", mediaType: "application/octet-stream")]
                ) { [self] in try await self.getTile($0) })
        }
        return routes
    }

    private func getTile(_ context: RequestContext) async throws -> HTTPResponse {
        var segments: [String] = [context.parameter("level")]
        for name in ["n", "n2", "n3", "n4"] {
            if let segment: String = context.parameters[name] { segments.append(segment) }
        }
        let text: String = segments.joined(separator: "/")
        if segments[0] == "entries" { return try await self.getBundle(context, String(text.dropFirst(8))) }
        guard let path: TilePath = TilePath(parsing: text) else { throw APIProblem.notFound("tile", text) }
        let stored: [UInt8]? = try await context.read { try TreeTables.tile(path.tile, in: $0) }
        // Partial tiles stay available as the beginning of the fuller one.
        guard let stored: [UInt8], stored.count >= path.width * TreeHash.length else {
            throw APIProblem.notFound("tile", text)
        }
        return Self.tile(Array(stored[..<(path.width * TreeHash.length)]))
    }
}
