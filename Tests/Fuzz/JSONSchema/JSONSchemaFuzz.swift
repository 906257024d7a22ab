import JSON
import JSONSchema

/// What libFuzzer calls with every input: `[schema, value, value, …]`, read as each dialect; a plain value is a schema that checks itself.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzJSONSchema(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: data, count: count)
    guard let input: JSONValue = try? JSONReader.parse(bytes) else { return 0 }
    var values: [JSONValue] = input.elements ?? [input]
    let schema: JSONValue = values.isEmpty ? true : values.removeFirst()
    for options: SchemaOptions in [.standard, .tolerant, .openAPI30] {
        var options: SchemaOptions = options
        options.stepsMax = 10_000
        guard let compiled: JSONSchema = try? JSONSchema(compiling: schema, options: options) else { continue }
        for value: JSONValue in values + [schema] {
            let problems: [SchemaProblem] = compiled.validate(value)
            precondition(problems.count <= SchemaProblem.max, "findings are bounded")
            for problem: SchemaProblem in problems {
                precondition(JSONPointer(parsing: problem.pointer) != nil, "a problem has a place")
            }
            precondition(compiled.validate(value) == problems, "the same value has the same problems")
        }
    }
    return 0
}
