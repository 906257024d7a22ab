extension HTTPFields {
    /// Copies the fields of a head that was read in place. Bytes that are not UTF-8 (in values; names never hold any)
    /// become U+FFFD: no secret and no name can match them.
    init(copying table: HTTPFieldTable, count: Int, from bytes: UnsafeRawBufferPointer) {
        var lines: [HTTPFields.Element] = []
        lines.reserveCapacity(count)
        for index in 0..<count {
            let field: HTTPField = table.fields[index]
            let name: String = String(decoding: bytes[field.nameRange], as: UTF8.self)
            lines.append((name: name, value: String(decoding: bytes[field.valueRange], as: UTF8.self)))
        }
        self.init(lines)
    }
}
