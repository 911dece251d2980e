//! Statements read by a parser: what kind they are, what tables they touch, and what they ask of them.
//!
//! The parser is a gate and a source of hints, never the last word: before a statement is explained PostgreSQL parses it
//! itself (`PREPARE`), and a candidate index is verified by its planner.
mod conditions;
mod readable;

use crate::sqltext;
use conditions::{block, column, conjuncts, factor, tables};
use readable::{readable, with_known_locks};
use sqlparser::{
    ast::{
        Expr, FromTable, LimitClause, ObjectName, OrderByKind, OrderBySort, Query, SetExpr, Statement, TableFactor,
        TableObject, UpdateTableFromKind, Visit as _, Visitor,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use std::{collections::BTreeSet, ops::ControlFlow, thread};

/// Longer texts are not parsed: they are generated, and nobody reads advice about them.
const LONGEST: usize = 256 * 1024;
/// A chain of operators as long as this is parsed on a stack of its own: the tree of it is as deep as it is long.
const DEEP: usize = 2 * 1024;
const STACK: usize = 64 << 20;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `SELECT`, `VALUES`, `TABLE`, and `WITH` that changes nothing.
    Select,
    /// `INSERT`.
    Insert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `MERGE`.
    Merge,
}

/// A relation that a statement names; those of `WITH` are left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relation {
    /// Schema, when it is written.
    pub schema: Option<String>,
    /// Name.
    pub name: String,
}

/// A column, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// Table or alias before the dot.
    pub of: Option<String>,
    /// Name.
    pub name: String,
}

/// How a column is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `=`, `IN`, `= ANY`, `IS NULL` against something that is known when the table is read.
    Equal,
    /// Against a column of another table.
    Join(Column),
    /// `<`, `>`, `BETWEEN`.
    Range,
}

/// One condition that must hold, on one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Of which column.
    pub column: Column,
    /// How.
    pub test: Test,
}

/// One table of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which.
    pub relation: Relation,
    /// How the block calls it.
    pub alias: String,
}

/// One block: a `SELECT`, or the search of an `UPDATE` or `DELETE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its tables.
    pub sources: Vec<Source>,
    /// What every row must meet.
    pub predicates: Vec<Predicate>,
    /// Columns it is ordered by, with `true` for descending; empty when it is ordered by anything else.
    pub order_by: Vec<(Column, bool)>,
    /// It wants the first rows only.
    pub limited: bool,
}

/// A statement, flattened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it does.
    pub kind: Kind,
    /// `FOR UPDATE` and the like.
    pub locks: bool,
    /// Relations it names, each once.
    pub relations: Vec<Relation>,
    /// Of those, the one it changes.
    pub changes: Option<Relation>,
    /// Functions it calls, each once, as written.
    pub functions: Vec<String>,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// The text to send: constants such as `INTERVAL $1`, which PostgreSQL cannot read back, are casts, and
    /// `EXTRACT($1 FROM x)` is `date_part($1, x)`.
    pub text: String,
}

/// Reads one statement.
///
/// # Errors
/// In words for people: it is none, several, of a kind that has no plan, or not understood.
pub fn shape(sql: &str) -> Result<Shape, String> {
    if sql.len() > LONGEST {
        return Err(format!("the statement is longer than {} KiB", LONGEST / 1024));
    }
    if sql.len() <= DEEP {
        return read(sql);
    }
    let sql = sql.to_owned();
    let thread = thread::Builder::new().name("parse".to_owned()).stack_size(STACK).spawn(move || read(&sql));
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(shape)) => shape,
        Ok(Err(_)) | Err(_) => Err("the statement could not be parsed here".to_owned()),
    }
}

fn read(sql: &str) -> Result<Shape, String> {
    let text = readable(sql);
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, &with_known_locks(&text)).map_err(|error| {
        let reason = error.to_string();
        // The parser's message may quote the statement.
        format!("the statement is not understood: {}", sqltext::one_line(&sqltext::mask_literals(&reason), 160))
    })?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err("there is no statement".to_owned()),
        (Some(_), false) => return Err("there is more than one statement in the text".to_owned()),
    };
    let (kind, changes) = kind_of(&statement)
        .ok_or("only SELECT, INSERT, UPDATE, DELETE and MERGE have a plan; this is another command")?;
    let mut reader = Reader::default();
    let _ = statement.visit(&mut reader);
    let own = |relation: &Relation| relation.schema.is_none() && reader.names.contains(&relation.name);
    let relations = reader.relations.iter().filter(|it| !own(it)).cloned().collect();
    for block in &mut reader.blocks {
        block
            .sources
            .retain(|source| !(source.relation.schema.is_none() && reader.names.contains(&source.relation.name)));
    }
    Ok(Shape {
        kind,
        locks: reader.locks,
        relations,
        changes,
        functions: reader.functions.into_iter().collect(),
        blocks: reader.blocks,
        text,
    })
}

fn kind_of(statement: &Statement) -> Option<(Kind, Option<Relation>)> {
    match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) | SetExpr::Merge(inner) => {
                kind_of(inner)
            }
            _ => Some((Kind::Select, None)),
        },
        Statement::Insert(insert) => {
            let table = match &insert.table {
                TableObject::TableName(name) => relation(name),
                _ => None,
            };
            Some((Kind::Insert, table))
        }
        Statement::Update(update) => Some((Kind::Update, table_of(&update.table.relation))),
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
            Some((Kind::Delete, tables.first().and_then(|it| table_of(&it.relation))))
        }
        Statement::Merge(merge) => Some((Kind::Merge, table_of(&merge.table))),
        _ => None,
    }
}

fn table_of(factor: &TableFactor) -> Option<Relation> {
    match factor {
        TableFactor::Table { name, args: None, .. } => relation(name),
        _ => None,
    }
}

fn relation(name: &ObjectName) -> Option<Relation> {
    let parts = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<Vec<_>>>()?;
    match parts.as_slice() {
        [name] => Some(Relation { schema: None, name: name.clone() }),
        [.., schema, name] => Some(Relation { schema: Some(schema.clone()), name: name.clone() }),
        [] => None,
    }
}

/// As PostgreSQL folds a name that is not quoted.
fn folded(ident: &sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[derive(Default)]
struct Reader {
    locks: bool,
    /// Names made by `WITH`.
    names: BTreeSet<String>,
    relations: BTreeSet<Relation>,
    functions: BTreeSet<String>,
    blocks: Vec<Block>,
}

impl Visitor for Reader {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.locks |= !query.locks.is_empty();
        if let Some(with) = &query.with {
            self.names.extend(with.cte_tables.iter().map(|cte| folded(&cte.alias.name)));
        }
        let limited = query.fetch.is_some()
            || matches!(&query.limit_clause, Some(LimitClause::LimitOffset { limit: Some(_), .. }));
        match query.body.as_ref() {
            SetExpr::Select(select) => {
                let mut block = block(select);
                block.limited = limited;
                if let Some(order_by) = &query.order_by
                    && let OrderByKind::Expressions(expressions) = &order_by.kind
                {
                    let columns = expressions.iter().map(|it| {
                        let descending = match &it.options.sort {
                            None | Some(OrderBySort::Asc) => false,
                            Some(OrderBySort::Desc) => true,
                            Some(OrderBySort::Using(_)) => return None,
                        };
                        // NULLS FIRST is what DESC means anyway; the other way round needs an index of its own.
                        let usual = it.options.nulls_first.is_none_or(|first| first == descending);
                        column(&it.expr).filter(|_| usual).map(|column| (column, descending))
                    });
                    block.order_by = columns.collect::<Option<Vec<_>>>().unwrap_or_default();
                }
                self.blocks.push(block);
            }
            body => self.operands(body),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.relations.extend(relation(name)),
            TableFactor::Table { name, args: Some(_), .. } => {
                self.functions.insert(name.to_string());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.functions.insert(function.name.to_string());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.relations.extend(relation(name));
                }
            }
            Statement::Update(update) => {
                let mut block = Block::default();
                tables(&update.table, &mut block);
                if let Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) = &update.from {
                    from.iter().for_each(|it| tables(it, &mut block));
                }
                update.selection.iter().for_each(|it| conjuncts(it, &mut block));
                self.blocks.push(block);
            }
            Statement::Delete(delete) => {
                let mut block = Block::default();
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                from.iter().chain(delete.using.iter().flatten()).for_each(|it| tables(it, &mut block));
                delete.selection.iter().for_each(|it| conjuncts(it, &mut block));
                self.blocks.push(block);
            }
            Statement::Merge(merge) => {
                let mut block = Block::default();
                factor(&merge.table, &mut block);
                factor(&merge.source, &mut block);
                conjuncts(&merge.on, &mut block);
                self.blocks.push(block);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Reader {
    /// The selects of a UNION; their order is that of the whole.
    fn operands(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.blocks.push(block(select)),
            SetExpr::SetOperation { left, right, .. } => {
                self.operands(left);
                self.operands(right);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn predicates(sql: &str) -> Vec<String> {
        let shape = shape(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let name = |column: &Column| {
            column.of.as_ref().map_or_else(|| column.name.clone(), |of| format!("{of}.{}", column.name))
        };
        shape
            .blocks
            .iter()
            .flat_map(|block| &block.predicates)
            .map(|it| match &it.test {
                Test::Equal => format!("{}=", name(&it.column)),
                Test::Range => format!("{}<", name(&it.column)),
                Test::Join(other) => format!("{}={}", name(&it.column), name(other)),
            })
            .collect()
    }

    #[test]
    fn only_what_has_a_plan_is_taken_and_only_one_of_it() {
        for good in [
            "SELECT 1",
            "select * from t where a = $1 for update",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a",
            "WITH x AS (DELETE FROM t WHERE a = $1 RETURNING *) INSERT INTO u SELECT * FROM x",
            "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
            "UPDATE t SET a = $1 FROM u WHERE t.id = u.id;",
            "VALUES ($1, $2)",
        ] {
            assert!(shape(good).is_ok(), "{good}: {:?}", shape(good));
        }
        for bad in [
            // PostgreSQL takes it; the parser does not, and hardly anybody writes it.
            "TABLE t",
            "",
            "SELECT 1; SELECT 2",
            "DROP TABLE t",
            "EXPLAIN ANALYZE DELETE FROM t",
            "COPY t TO STDOUT",
            "DO $$ BEGIN END $$",
            "CALL p()",
            "EXECUTE x",
            "SELECT 1; DROP TABLE t",
            "SET work_mem = '1GB'",
            "TRUNCATE t",
            "CREATE TABLE x AS SELECT 1",
            "REFRESH MATERIALIZED VIEW m",
            "LOCK TABLE t",
            "SELECT FROM WHERE",
            "BEGIN",
        ] {
            assert!(shape(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_are_found_where_an_index_can_use_them() {
        assert_eq!(
            predicates(
                "SELECT * FROM plugins p WHERE p.tenant_id = $1 AND status IN ($2, $3) AND created_at > now() - INTERVAL $4"
            ),
            ["p.tenant_id=", "status=", "created_at<"]
        );
        assert_eq!(
            predicates("SELECT * FROM a JOIN b ON a.id = b.a_id WHERE b.x = ANY($1)"),
            ["a.id=b.a_id", "b.a_id=a.id", "b.x="]
        );
        // Neither side of OR, no function of the column, no inequality, no pattern.
        assert_eq!(
            predicates(
                "SELECT * FROM a WHERE (x = $1 OR y = $2) AND lower(z) = $3 AND v <> $4 AND w LIKE $5 AND NOT u = $6"
            ),
            Vec::<String>::new()
        );
        assert_eq!(
            predicates("DELETE FROM t USING u WHERE t.id = u.id AND u.at BETWEEN $1 AND $2"),
            ["t.id=u.id", "u.id=t.id", "u.at<"]
        );
        assert_eq!(
            predicates("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.a_id = a.id)"),
            ["b.a_id=a.id", "a.id=b.a_id"]
        );
        assert_eq!(
            predicates("SELECT \"Order\".id FROM \"Order\" WHERE \"Order\".\"No\" = $1 AND DeletedAt IS NULL"),
            ["Order.No=", "deletedat="]
        );
    }

    #[test]
    fn order_and_limit_belong_to_their_block() {
        let shape =
            shape("SELECT * FROM (SELECT * FROM t ORDER BY b) x WHERE a = $1 ORDER BY x.at DESC, id LIMIT $2").unwrap();
        let outer = &shape.blocks[0];
        assert!(outer.limited);
        assert_eq!(
            outer.order_by.iter().map(|it| (it.0.name.as_str(), it.1)).collect::<Vec<_>>(),
            [("at", true), ("id", false)]
        );
        assert!(!shape.blocks[1].limited);
        assert!(super::shape("SELECT * FROM t ORDER BY lower(a) LIMIT 1").unwrap().blocks[0].order_by.is_empty());
    }

    #[test]
    fn what_with_makes_is_no_table() {
        let shape = shape("WITH recent AS (SELECT * FROM shop.orders) SELECT * FROM recent JOIN Customers c ON c.id = recent.customer_id").unwrap();
        let names = shape.relations.iter().map(|it| (it.schema.as_deref(), it.name.as_str())).collect::<Vec<_>>();
        assert_eq!(names, [(None, "customers"), (Some("shop"), "orders")]);
    }

    #[test]
    fn constants_that_lost_their_string_become_casts() {
        assert_eq!(
            shape("SELECT now() - interval $1, date $2").unwrap().text,
            "SELECT now() - CAST($1 AS interval), CAST($2 AS date)"
        );
        assert_eq!(readable("SELECT 'interval $1', date FROM t"), "SELECT 'interval $1', date FROM t");
        assert_eq!(
            shape("SELECT (EXTRACT( $3 FROM max(hour)) * $4)::int8 FROM dirty WHERE kind = $1").unwrap().text,
            "SELECT (date_part($3, max(hour)) * $4)::int8 FROM dirty WHERE kind = $1"
        );
        assert_eq!(readable("SELECT extract(epoch FROM at)"), "SELECT extract(epoch FROM at)");
    }

    #[test]
    fn every_lock_of_rows_is_read_and_sent_as_it_is_written() {
        for lock in ["FOR UPDATE", "FOR NO KEY UPDATE SKIP LOCKED", "for key share", "FOR SHARE OF t NOWAIT"] {
            let sql = format!("SELECT id FROM t WHERE a = $1 {lock}");
            let shape = shape(&sql).unwrap();
            assert!(shape.locks, "{lock}");
            assert_eq!((shape.text, shape.blocks[0].predicates.len()), (sql, 1), "{lock}");
        }
    }

    #[test]
    fn deep_and_long_texts_end_no_thread() {
        let chain = format!("SELECT {}1", "1+".repeat(50_000));
        assert!(shape(&chain).is_ok());
        let nested = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
        assert!(shape(&nested).is_err());
        assert!(shape(&"x".repeat(LONGEST + 1)).is_err());
    }
}
