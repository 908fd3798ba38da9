"""Uses the tools by fastmcp's client: `KEY=… python fastmcp_client.py http://127.0.0.1:8000/mcp`."""

import asyncio
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def main() -> None:
    headers = {"authorization": f"Bearer {os.environ['KEY']}"}
    async with Client(StreamableHttpTransport(sys.argv[1], headers=headers)) as client:
        tools = await client.list_tools()
        found = await client.call_tool("search", {"query": "keeper whale", "mode": "text", "k": 2})
        wrong = await client.call_tool("search", {"query": ""}, raise_on_error=False)
        assert wrong.is_error
        print(f"{len(tools)} tools, {len(found.structured_content['hits'])} hits: {wrong.content[0].text}")


asyncio.run(main())
