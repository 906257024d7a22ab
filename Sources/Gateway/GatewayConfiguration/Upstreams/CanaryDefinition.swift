import Documents
import JSON

/// How requests are shared among versions of what answers: a canary's few, or all from blue to green.
package struct CanaryDefinition: Sendable, Equatable {
    /// One version and its share.
    package struct Version: Sendable, Equatable {
        /// Targets name it. 1 to 128 letters, digits, `.`, `_`, `-`.
        package var name: String
        /// Share of the requests, 0 to 1000; 0 takes none of its own.
        package var weight: Int

        package init(name: String, weight: Int) {
            self.name = name
            self.weight = weight
        }
    }

    /// 2 to 16.
    package var versions: [Version]
    /// What of a request always leads to the same version. Default: nothing, each request is drawn.
    package var sticky: HashSource?
    /// Give clients without the cookie of `sticky` one of their own. Default false.
    package var setCookie: Bool
    /// What may name a version by itself, whatever its weight: a header, cookie or query parameter. Default: nothing.
    package var force: HashSource?

    package init(
        versions: [Version], sticky: HashSource? = nil, setCookie: Bool = false, force: HashSource? = nil
    ) {
        self.versions = versions
        self.sticky = sticky
        self.setCookie = setCookie
        self.force = force
    }

    package static let versionsMax: Int = 16

    static func read(_ decoder: NodeDecoder) -> CanaryDefinition? {
        guard let fields: NodeFields = decoder.fields(["versions", "sticky", "set_cookie", "force"]) else { return nil }
        let versions: [Version]? = fields.required("versions")?.list(count: 2...self.versionsMax) { Version.read($0) }
        let sticky: HashSource?? = fields.optional("sticky") { HashSource.read($0) }
        let setCookie: Bool? = fields.boolean("set_cookie", default: false)
        let force: HashSource?? = fields.optional("force") { HashSource.read($0) }
        if let versions { self.check(versions, fields) }
        if setCookie == true, let sticky {
            if case .cookie = sticky {
            } else {
                fields["set_cookie"]?.problem("expected 'set_cookie' only with 'sticky: {cookie: NAME}'")
            }
        }
        if case .some(.some(let source)) = force, source == .address || source == .path {
            fields["force"]?.problem("expected one of {header: NAME}, {cookie: NAME}, {query: NAME}")
        }
        guard let versions, let sticky, let setCookie, let force else { return nil }
        return CanaryDefinition(versions: versions, sticky: sticky, setCookie: setCookie, force: force)
    }

    private static func check(_ versions: [Version], _ fields: NodeFields) {
        var seen: Set<String> = []
        for version in versions where !seen.insert(version.name).inserted {
            fields["versions"]?.problem("expected each version only once, found \(version.name) again")
        }
        if !versions.isEmpty, versions.allSatisfy({ $0.weight == 0 }) {
            fields["versions"]?.problem("expected at least one version with a weight above 0")
        }
    }

    /// What targets and versions say of each other.
    func check(_ targets: [TargetDefinition], _ fields: NodeFields) {
        let names: Set<String> = Set(self.versions.map(\.name))
        for target in targets {
            if let version: String = target.version, names.contains(version) { continue }
            let found: String = target.version.map { "found \"\($0)\"" } ?? "found none"
            fields["targets"]?.problem("expected a version of 'canary' for \(target.url.text), \(found)")
        }
        for version in self.versions
        where !targets.contains(where: { $0.version == version.name && $0.weight > 0 }) {
            fields["canary"]?.problem("expected a target with a weight above 0 for the version \(version.name)")
        }
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("versions", list: self.versions.map { $0.json() })
        writer.set("sticky", self.sticky?.json())
        if self.setCookie { writer.set("set_cookie", .bool(true)) }
        writer.set("force", self.force?.json())
        return writer.value
    }
}

extension CanaryDefinition.Version {
    static func read(_ decoder: NodeDecoder) -> CanaryDefinition.Version? {
        guard let fields: NodeFields = decoder.fields(["name", "weight"]) else { return nil }
        let name: String? = fields.required("name")?.id()
        let weight: Int? = fields.required("weight")?.integer(in: 0...TargetDefinition.weightMax)
        guard let name, let weight else { return nil }
        return CanaryDefinition.Version(name: name, weight: weight)
    }

    func json() -> JSONValue { ["name": .string(self.name), "weight": .int(Int64(self.weight))] }
}
