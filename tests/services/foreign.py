"""An ERP's own topic: how its records are mapped, and one of them."""

from __future__ import annotations

import json
from typing import Any

from aiokafka import AIOKafkaProducer

FOREIGN = "erp.invoices"
MAPPING = f"""
- topic: {FOREIGN}
  format: json
  events:
    - type: InvoiceIssued
      fields:
        customer_id: customer
        invoice_id: number
        occurred_at: {{path: posted_ms, as: epoch_ms}}
        due_date: due
        amount_minor: {{path: gross, as: decimal, digits: 2}}
        currency: {{const: EUR}}
"""


async def send_foreign(customer: str, **client_options: Any) -> None:
    """Write an invoice of a customer, as the ERP does."""
    note = {
        "customer": customer,
        "number": "R-1",
        "posted_ms": 1742000000000,
        "gross": "310.50",
        "due": "2025-04-15",
    }
    async with AIOKafkaProducer(**client_options) as producer:
        await producer.send_and_wait(FOREIGN, json.dumps(note).encode())
