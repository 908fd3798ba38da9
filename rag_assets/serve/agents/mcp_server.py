"""The MCP server: its tools and resources, for the principal of each request."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from pydantic import TypeAdapter, ValidationError

from rag_assets.db.session.server_errors import explain_error
from rag_assets.errors import RagAssetsError
from rag_assets.serve.access.principal import Principal
from rag_assets.serve.agents.arguments import (
    DOCUMENT_CHARS,
    DOCUMENT_URI,
    CitedAnswer,
    DocumentArguments,
    NoArguments,
    ProjectSearchArguments,
    SearchArguments,
    SimilarArguments,
    parse_document_uri,
)
from rag_assets.serve.core.documents import ServedDocument, ServedProject
from rag_assets.serve.core.knowledge import Knowledge
from rag_assets.serve.http.admission import Admission
from rag_assets.serve.http.bodies import Body, body_errors
from rag_assets.serve.http.gate import GateLimits

INSTRUCTIONS = (
    "Search the documents of an organisation and cite what you use: each hit names its project, file, page, headings "
    "and character offsets. Read more of a document with get_document."
)
PROJECT_TOOL = "search_"
RESOURCES_PER_PAGE = 100
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


@dataclass(frozen=True, slots=True)
class ServedProjects:
    """What list_projects returns."""

    projects: list[ServedProject]

    def __str__(self) -> str:
        lines = [f"{one.name}: {one.description or 'no description'}" for one in self.projects]
        return "\n".join(lines) or "No projects."


class AgentTools:
    """The tools and resources. `principal_of` tells from the request of a transport who asks."""

    def __init__(
        self,
        knowledge: Knowledge,
        admission: Admission,
        limits: GateLimits,
        principal_of: Callable[[Any], Principal],
        *,
        project_tools: bool,
    ) -> None:
        self._knowledge = knowledge
        self._admission = admission
        self._limits = limits
        self._principal_of = principal_of
        self._project_tools = project_tools
        self._tools: dict[str, tuple[Tool, type[Body], Callable[[Principal, Any], Awaitable[Any]]]] = {
            tool.name: (tool, model, run)
            for tool, model, run in (
                _tool("search", "Find the passages that answer a question.", SearchArguments, CitedAnswer, self.search),
                _tool(
                    "similar",
                    "Find passages similar to a hit of search.",
                    SimilarArguments,
                    CitedAnswer,
                    self.similar,
                ),
                _tool(
                    "get_document",
                    "Read a document, or a part of it.",
                    DocumentArguments,
                    ServedDocument,
                    self.get_document,
                ),
                _tool(
                    "list_projects",
                    "List the projects whose documents can be searched.",
                    NoArguments,
                    ServedProjects,
                    self.list_projects,
                ),
            )
        }

    async def search(self, principal: Principal, arguments: ProjectSearchArguments) -> CitedAnswer:
        options = {name: value for name, value in arguments.given("query").items() if value is not None}
        options["k"] = min(arguments.k, self._limits.max_k)
        return CitedAnswer.of(await self._knowledge.search(principal, arguments.query, options))

    async def similar(self, principal: Principal, arguments: SimilarArguments) -> CitedAnswer:
        options: dict[str, Any] = {"k": min(arguments.k, self._limits.max_k), "project": arguments.project}
        return CitedAnswer.of(await self._knowledge.similar(principal, options, chunk_id=arguments.chunk_id))

    async def get_document(self, principal: Principal, arguments: DocumentArguments) -> ServedDocument:
        start = arguments.char_start
        end = start + DOCUMENT_CHARS if arguments.char_end is None else arguments.char_end
        if arguments.document_id is not None:
            return await self._knowledge.document(principal, arguments.document_id, start, end)
        assert arguments.project is not None
        assert arguments.file_path is not None
        return await self._knowledge.document_by_path(principal, arguments.project, arguments.file_path, start, end)

    async def list_projects(self, principal: Principal, _: NoArguments) -> ServedProjects:
        return ServedProjects(await self._knowledge.projects(principal))

    async def on_list_tools(self, context: Any, _: PaginatedRequestParams | None) -> ListToolsResult:
        tools = [tool for tool, _, _ in self._tools.values()]
        if self._project_tools:
            async with self._turn(context) as principal:
                found = await self._knowledge.projects(principal)
            tools += [_project_tool(project) for project in found]
        return ListToolsResult(tools=tools)

    async def on_call_tool(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        try:
            async with self._turn(context) as principal:
                found = await self._call(principal, params.name, params.arguments or {})
        except ValidationError as error:
            first = body_errors(error)[0]
            return _failed(f"{first['pointer'] or 'the arguments'}: {first['detail']}; correct it.")
        except (RagAssetsError, TimeoutError) as error:
            return _failed(self._sentence(error))
        text = found.text if isinstance(found, ServedDocument) else str(found)
        return CallToolResult(
            content=[TextContent(type="text", text=text)], structured_content=orjson.loads(orjson.dumps(found))
        )

    async def on_list_resources(self, context: Any, params: PaginatedRequestParams | None) -> ListResourcesResult:
        after = None if params is None or params.cursor is None else parse_document_uri(params.cursor)
        async with self._turn(context) as principal:
            found = await self._knowledge.documents(principal, after, RESOURCES_PER_PAGE)
        resources = [
            Resource(
                uri=f"{DOCUMENT_URI}{one.id}",
                name=f"{one.project}/{one.file_path}",
                title=one.title,
                mime_type="text/plain",
            )
            for one in found
        ]
        more = len(found) == RESOURCES_PER_PAGE
        return ListResourcesResult(resources=resources, next_cursor=str(resources[-1].uri) if more else None)

    async def on_list_resource_templates(
        self, _context: Any, _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        template = ResourceTemplate(
            uri_template=f"{DOCUMENT_URI}{{document_id}}",
            name="document",
            description="The whole text of a document; its uri is in the citation of a hit.",
            mime_type="text/plain",
        )
        return ListResourceTemplatesResult(resource_templates=[template])

    async def on_read_resource(self, context: Any, params: ReadResourceRequestParams) -> ReadResourceResult:
        try:
            document_id = parse_document_uri(str(params.uri))
            async with self._turn(context) as principal:
                found = await self._knowledge.document(principal, document_id)
        except (RagAssetsError, TimeoutError) as error:
            raise MCPError(INVALID_PARAMS, self._sentence(error)) from None
        contents = TextResourceContents(uri=str(params.uri), mime_type="text/plain", text=found.text)
        return ReadResourceResult(contents=[contents])

    async def _call(self, principal: Principal, name: str, arguments: dict[str, Any]) -> Any:
        """Raises ValidationError for wrong arguments, and MCPError for an unknown tool."""
        if name in self._tools:
            _, model, run = self._tools[name]
            # As JSON, since a UUID is a text there.
            return await run(principal, model.model_validate_json(orjson.dumps(arguments)))
        if self._project_tools and name.startswith(PROJECT_TOOL):
            project = name.removeprefix(PROJECT_TOOL)
            if any(one.name == project for one in await self._knowledge.projects(principal)):
                given = ProjectSearchArguments.model_validate_json(orjson.dumps(arguments))
                return await self.search(principal, SearchArguments(**given.given(), project=project))
        raise MCPError(INVALID_PARAMS, f"there is no tool {name[:100]!r}; there are {', '.join(self._tools)}.")

    @asynccontextmanager
    async def _turn(self, context: Any) -> Any:
        """Who asks, when it is their turn, for as long as a request may take."""
        principal = self._principal_of(context.request)
        async with asyncio.timeout(self._limits.timeout_s):
            await self._admission.enter(principal.id)
            try:
                yield principal
            finally:
                self._admission.leave(principal.id)

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"the call took longer than {self._limits.timeout_s:g} s; ask for less, or again later."
        return str(explain_error(error) or error)


def make_mcp_server(tools: AgentTools, version: str) -> Server[Any]:
    return Server(
        "rag_assets",
        version=version,
        instructions=INSTRUCTIONS,
        on_list_tools=tools.on_list_tools,
        on_call_tool=tools.on_call_tool,
        on_list_resources=tools.on_list_resources,
        on_list_resource_templates=tools.on_list_resource_templates,
        on_read_resource=tools.on_read_resource,
    )


def _tool(
    name: str,
    description: str,
    arguments: type[Body],
    result: type[Any],
    run: Callable[[Principal, Any], Awaitable[Any]],
) -> tuple[Tool, type[Body], Callable[[Principal, Any], Awaitable[Any]]]:
    tool = Tool(
        name=name,
        description=description,
        input_schema=arguments.model_json_schema(),
        output_schema=TypeAdapter(result).json_schema(mode="serialization"),
        annotations=_READS,
    )
    return tool, arguments, run


def _project_tool(project: ServedProject) -> Tool:
    about = f": {project.description}" if project.description else ""
    description = f"Find the passages that answer a question in the project {project.name}{about}."
    name = f"{PROJECT_TOOL}{project.name}"
    return _tool(name, description, ProjectSearchArguments, CitedAnswer, _never)[0]


async def _never(_principal: Principal, _arguments: Any) -> None:
    raise AssertionError


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
