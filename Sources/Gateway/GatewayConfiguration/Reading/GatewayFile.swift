package import Documents

/// The file a gateway runs from: what this process does, and what every gateway of the target serves.
///
/// YAML or JSON, `version: 1`. Unknown fields, wrong types, values out of range, references to nothing and conflicts of routes
/// are problems with line, column and JSON pointer; all of them are reported at once.
/// docs/reference/gateway-configuration.md describes every field.
package struct GatewayFile: Sendable, Equatable {
    package var settings: ProcessSettings
    package var document: GatewayDocument

    package init(settings: ProcessSettings, document: GatewayDocument) {
        self.settings = settings
        self.document = document
    }

    /// Reads a file's bytes.
    package static func read(
        _ bytes: [UInt8], limits: DocumentLimits = GatewayDocument.limits
    ) throws(InvalidDocument) -> GatewayFile {
        try GatewayFile.decode(try GatewayDocument.parse(bytes, limits: limits))
    }

    /// Reads a parsed file.
    package static func decode(_ root: Node) throws(InvalidDocument) -> GatewayFile {
        try GatewayDocument.inOrder(root) { decoder in
            let known: [String] =
                ["version", "listen", "workers", "telemetry", "zone", "dns", "counters"] + GatewayDocument.fieldNames
            guard let fields: NodeFields = decoder.fields(known) else { return nil }
            GatewayDocument.checkVersion(fields)
            if SecretReference.isIn(root) {
                SecretReference.refuse(
                    in: decoder,
                    "expected the value, or a file with it: a gateway that runs from a file opens no secrets")
            }
            let settings: ProcessSettings = ProcessSettings.read(fields)
            let document: GatewayDocument = GatewayDocument.read(fields)
            return GatewayFile(settings: settings, document: document)
        }
    }
}

extension GatewayDocument {
    static let fieldNames: [String] = ["apis", "applications", "plans", "tenants"]

    /// What a document may hold: enough for 100,000 routes.
    package static let limits: DocumentLimits = DocumentLimits(bytes: 256 << 20, values: 20_000_000)

    /// Reads a document alone, as a snapshot carries it: `version`, `apis`, `applications`, `plans`, `tenants`.
    package static func read(_ bytes: [UInt8]) throws(InvalidDocument) -> GatewayDocument {
        try GatewayDocument.decode(try GatewayDocument.parse(bytes, limits: GatewayDocument.limits))
    }

    /// Reads a parsed document.
    package static func decode(_ root: Node) throws(InvalidDocument) -> GatewayDocument {
        try self.inOrder(root) { decoder in
            guard let fields: NodeFields = decoder.fields(["version"] + self.fieldNames) else { return nil }
            self.checkVersion(fields)
            return self.read(fields)
        }
    }

    /// Turns the one error of a text that is no document into a list of problems like any other.
    static func parse(_ bytes: [UInt8], limits: DocumentLimits) throws(InvalidDocument) -> Node {
        do throws(DocumentError) {
            return try DocumentReader.parse(bytes, limits: limits)
        } catch {
            throw InvalidDocument(problems: [error.problem])
        }
    }

    /// What `body` makes of the document, or all problems from top to bottom.
    static func inOrder<Value>(_ root: Node, _ body: (NodeDecoder) -> Value?) throws(InvalidDocument) -> Value {
        do throws(InvalidDocument) {
            return try NodeDecoder.decode(root, body)
        } catch {
            let sorted: [Problem] = error.problems.sorted { first, second in
                first.line == second.line ? first.column < second.column : first.line < second.line
            }
            throw InvalidDocument(problems: sorted, omitted: error.omitted)
        }
    }

    static func checkVersion(_ fields: NodeFields) {
        guard let decoder: NodeDecoder = fields.required("version"), let version: Int = decoder.integer() else {
            return
        }
        if version != Int(self.formatVersion) {
            decoder.problem("expected version \(self.formatVersion), found \(version)")
        }
    }

    static func read(_ fields: NodeFields) -> GatewayDocument {
        let checks: DocumentChecks = DocumentChecks()
        let plans: [PlanDefinition]? = fields.list("plans") { decoder in
            let plan: PlanDefinition? = PlanDefinition.read(decoder)
            if let plan { checks.add(plan, at: decoder) }
            return plan
        }
        let apis: [APIDefinition]? = fields.list("apis") { decoder in
            var places: [NodeDecoder] = []
            let api: APIDefinition? = APIDefinition.read(decoder, routePlaces: &places)
            if let api { checks.add(api, at: decoder, routes: places) }
            return api
        }
        let applications: [ApplicationDefinition]? = fields.list("applications") { decoder in
            var places: ApplicationPlaces = ApplicationPlaces()
            let application: ApplicationDefinition? = ApplicationDefinition.read(decoder, places: &places)
            if let application { checks.add(application, at: decoder, places) }
            return application
        }
        let tenants: [TenantDefinition]? = fields.list("tenants") { decoder in
            let tenant: TenantDefinition? = TenantDefinition.read(decoder)
            if let tenant { checks.add(tenant, at: decoder) }
            return tenant
        }
        checks.checkReferences()
        return GatewayDocument(
            apis: apis ?? [], applications: applications ?? [], plans: plans ?? [], tenants: tenants ?? [])
    }
}
