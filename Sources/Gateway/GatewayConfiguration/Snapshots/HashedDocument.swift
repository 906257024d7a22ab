import Documents
package import JSON

/// A document with its version and hash, changed entry by entry: what the control plane keeps for a target, and what a gateway
/// keeps of what it was sent.
///
/// Entries are kept in order of key, so two sides that hold the same entries hold the same document. An entry this version
/// cannot read (a newer control plane may send one) still counts in the hash; it is named in `unreadable` and otherwise left
/// out. Not thread-safe; a value.
package struct HashedDocument: Sendable {
    /// Counts up with every change at its source.
    package private(set) var version: Int64
    /// In order of key.
    package private(set) var document: GatewayDocument
    /// Entries that could not be read, by kind and key.
    package private(set) var unreadable: [UnreadableEntry] = []
    /// Of each entry the form that was sent or put in, which says as much as what was read of it or more.
    private var digest: DocumentDigest = DocumentDigest()
    private var knownHash: String?
    /// What the references of APIs stand for. In memory only: forms and hash hold the references.
    package private(set) var secrets: [EntryKey: EntrySecrets] = [:]

    /// An empty document of version 0.
    package init() {
        self.version = 0
        self.document = GatewayDocument()
    }

    /// Takes a document; of entries with the same key the last one stays.
    package init(_ document: GatewayDocument, version: Int64) {
        self.init()
        self.version = version
        for api in document.apis { self.set(api) }
        for application in document.applications { self.set(application) }
        for plan in document.plans { self.set(plan) }
        for tenant in document.tenants { self.set(tenant) }
    }

    /// 64 hexadecimal digits; see `DocumentDigest`.
    package var hash: String { self.knownHash ?? self.digest.text }

    // MARK: Changing

    /// Moves on to the next version. Changes since the last call belong to it.
    package mutating func advance(to version: Int64) {
        precondition(version > self.version)
        self.version = version
        self.knownHash = self.digest.text
    }

    /// For a document that was received: any version, and the hash that has come out.
    mutating func setVersion(_ version: Int64, hash: String) {
        self.version = version
        self.knownHash = hash
    }

    package mutating func set(_ api: APIDefinition) { self.set(.api(api), EntryForm(of: api.json())) }

    package mutating func set(_ application: ApplicationDefinition) {
        self.set(.application(application), EntryForm(of: application.json()))
    }

    package mutating func set(_ plan: PlanDefinition) { self.set(.plan(plan), EntryForm(of: plan.json())) }

    package mutating func set(_ tenant: TenantDefinition) { self.set(.tenant(tenant), EntryForm(of: tenant.json())) }

    /// Puts in what was read.
    package mutating func put(_ entry: ReadEntry) {
        self.set(entry.definition, entry.form)
        if case .api(let api) = entry.definition, !entry.secrets.isEmpty { self.secrets[api.key] = entry.secrets }
    }

    private mutating func set(_ definition: ReadEntry.Definition, _ form: EntryForm) {
        switch definition {
        case .api(let api):
            self.note(.api, api.key, form)
            EntryList.set(api, key: api.key, in: &self.document.apis) { $0.key }
        case .application(let application):
            self.note(.application, application.key, form)
            EntryList.set(application, key: application.key, in: &self.document.applications) { $0.key }
        case .plan(let plan):
            self.note(.plan, plan.key, form)
            EntryList.set(plan, key: plan.key, in: &self.document.plans) { $0.key }
        case .tenant(let tenant):
            self.note(.tenant, tenant.key, form)
            EntryList.set(tenant, key: tenant.key, in: &self.document.tenants) { $0.key }
        }
    }

    private mutating func note(_ kind: EntryKind, _ key: EntryKey, _ form: EntryForm?) {
        self.forget(kind, key)
        self.digest.set(kind, key, form)
        self.knownHash = nil
    }

    /// Removes an entry; does nothing when there is none.
    package mutating func remove(_ kind: EntryKind, _ key: EntryKey) {
        self.note(kind, key, nil)
        self.removeReadable(kind, key)
    }

    private mutating func removeReadable(_ kind: EntryKind, _ key: EntryKey) {
        switch kind {
        case .api: EntryList.remove(key, from: &self.document.apis) { $0.key }
        case .application: EntryList.remove(key, from: &self.document.applications) { $0.key }
        case .plan: EntryList.remove(key, from: &self.document.plans) { $0.key }
        case .tenant: EntryList.remove(key, from: &self.document.tenants) { $0.key }
        }
    }

    private mutating func forget(_ kind: EntryKind, _ key: EntryKey) {
        if kind == .api, !self.secrets.isEmpty { self.secrets[key] = nil }
        if self.unreadable.isEmpty { return }
        self.unreadable.removeAll { $0.kind == kind && $0.key == key }
    }

    // MARK: Receiving

    /// Takes an entry as it was sent. The hash is that of what was sent, whether it can be read or not.
    ///
    /// - Parameters:
    ///   - text: its bytes, where they are taken for canonical.
    ///   - secrets: what the references of an API stand for; those it misses make the entry unreadable.
    mutating func set(
        _ kind: EntryKind, sent node: Node, text: [UInt8]? = nil, secrets known: [String: String] = [:]
    ) throws(SnapshotError) {
        guard let id: String = node["id"]?.text, EntryRules.problem(id: id) == nil,
            let tenant: String = node["tenant"]?.text, EntryRules.problem(id: tenant) == nil
        else { throw .malformed("an entry of \(kind.rawValue) without id and tenant") }
        let key: EntryKey = EntryKey(tenant: tenant, id: id)
        let form: EntryForm = text.map { EntryForm(canonical: $0) } ?? EntryForm(of: node.json())
        do throws(InvalidDocument) {
            let opened: (node: Node, secrets: EntrySecrets) =
                kind == .api && form.mayRefer ? try Self.opened(key, node, known) : (node, [:])
            let definition: ReadEntry.Definition = try ReadEntry.read(kind, opened.node, opened.secrets)
            self.put(ReadEntry(definition: definition, form: form, secrets: opened.secrets))
        } catch {
            self.remove(kind, key)
            let problems: [String] = error.problems.map {
                $0.pointer.isEmpty ? $0.message : "\($0.pointer): \($0.message)"
            }
            self.unreadable.append(UnreadableEntry(kind: kind, key: key, problems: problems))
            self.digest.set(kind, key, form)
        }
    }

    /// An API with its references replaced, and what they stood for.
    private static func opened(
        _ key: EntryKey, _ node: Node, _ known: [String: String]
    ) throws(InvalidDocument) -> (node: Node, secrets: EntrySecrets) {
        let json: JSONValue = node.json()
        let references: Set<String> = SecretReference.versioned(in: json)
        if references.isEmpty { return (node, [:]) }
        var secrets: EntrySecrets = [:]
        var problems: [Problem] = []
        for reference in references.sorted() {
            secrets[reference] = known["\(key.tenant)/\(reference)"]
            guard secrets[reference] == nil else { continue }
            let message: String = "\(SecretReference.scheme)\(reference) does not open at this gateway"
            problems.append(Problem(pointer: "", line: 1, column: 1, message: message))
        }
        if !problems.isEmpty { throw InvalidDocument(problems: problems) }
        return (ReadEntry.opened(json, secrets), secrets)
    }

    // MARK: Sending

    /// The whole document with version and hash, as JSON.
    ///
    /// - Parameter secrets: a last member.
    package func serialized(secrets: JSONObject? = nil) -> [UInt8] {
        var writer: JSONWriter = JSONWriter()
        writer.beginObject()
        writer.field("version")
        writer.int(self.version)
        writer.field("hash")
        writer.string(self.hash)
        for kind in EntryKind.allCases {
            let keys: [EntryKey] = self.keys(kind)
            if keys.isEmpty { continue }
            writer.key(kind.rawValue)
            writer.beginArray()
            for key in keys { if let form: EntryForm = self.digest.form(kind, key) { writer.raw(form.text) } }
            writer.endArray()
        }
        if let secrets: JSONObject {
            writer.field("secrets")
            writer.value(.object(secrets))
        }
        writer.endObject()
        return writer.bytes
    }

    /// What leads from `base` to this document. Compares every entry's hash: for the occasional gateway that lags behind;
    /// who changes a document knows what changed and uses `SnapshotDelta` directly.
    package func delta(from base: HashedDocument) -> SnapshotDelta {
        var delta: SnapshotDelta = SnapshotDelta(base: base.version, version: self.version, hash: self.hash)
        for kind in EntryKind.allCases {
            let own: [EntryKey] = self.keys(kind)
            for key in own where self.digest.form(kind, key)?.hash != base.digest.form(kind, key)?.hash {
                delta.add(kind, key, from: self)
            }
            let present: Set<EntryKey> = Set(own)
            for key in base.keys(kind) where !present.contains(key) { delta.removed[kind, default: []].append(key) }
        }
        return delta
    }

    func keys(_ kind: EntryKind) -> [EntryKey] {
        var keys: [EntryKey] = []
        switch kind {
        case .api: for api in self.document.apis { keys.append(api.key) }
        case .application: for application in self.document.applications { keys.append(application.key) }
        case .plan: for plan in self.document.plans { keys.append(plan.key) }
        case .tenant: for tenant in self.document.tenants { keys.append(tenant.key) }
        }
        for entry in self.unreadable where entry.kind == kind { keys.append(entry.key) }
        return keys
    }

    /// An entry as it is sent, JSON; nil when there is none.
    func text(_ kind: EntryKind, _ key: EntryKey) -> [UInt8]? { self.digest.form(kind, key)?.text }
}

/// An entry this version cannot read.
package struct UnreadableEntry: Sendable, Equatable {
    package let kind: EntryKind
    package let key: EntryKey
    package let problems: [String]
}

/// Lists in order of key.
private enum EntryList {
    static func place<Entry>(of key: EntryKey, in list: [Entry], _ keyOf: (Entry) -> EntryKey) -> (
        place: Int, isThere: Bool
    ) {
        var low: Int = 0
        var high: Int = list.count
        while low < high {
            let middle: Int = (low + high) / 2
            if keyOf(list[middle]) < key { low = middle + 1 } else { high = middle }
        }
        return (low, low < list.count && keyOf(list[low]) == key)
    }

    static func set<Entry>(_ entry: Entry, key: EntryKey, in list: inout [Entry], _ keyOf: (Entry) -> EntryKey) {
        let (place, isThere): (Int, Bool) = self.place(of: key, in: list, keyOf)
        if isThere { list[place] = entry } else { list.insert(entry, at: place) }
    }

    static func remove<Entry>(_ key: EntryKey, from list: inout [Entry], _ keyOf: (Entry) -> EntryKey) {
        let (place, isThere): (Int, Bool) = self.place(of: key, in: list, keyOf)
        if isThere { list.remove(at: place) }
    }
}
