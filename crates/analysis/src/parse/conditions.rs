//! What must hold of the rows that a statement wants, where an index could use it.
use super::{Block, Column, Predicate, Source, Test, folded, relation};
use sqlparser::ast::{
    BinaryOperator, Expr, InTarget, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins, UnaryOperator,
    Visit as _, Visitor,
};
use std::ops::ControlFlow;

pub(super) fn block(select: &Select) -> Block {
    let mut block = Block::default();
    select.from.iter().for_each(|it| tables(it, &mut block));
    select.selection.iter().for_each(|it| conjuncts(it, &mut block));
    block
}

pub(super) fn tables(from: &TableWithJoins, block: &mut Block) {
    factor(&from.relation, block);
    for join in &from.joins {
        factor(&join.relation, block);
        let constraint = match &join.join_operator {
            JoinOperator::Join(it)
            | JoinOperator::Inner(it)
            | JoinOperator::Left(it)
            | JoinOperator::LeftOuter(it)
            | JoinOperator::Right(it)
            | JoinOperator::RightOuter(it)
            | JoinOperator::FullOuter(it) => it,
            _ => continue,
        };
        match constraint {
            JoinConstraint::On(on) => conjuncts(on, block),
            JoinConstraint::Using(columns) | JoinConstraint::UsingAlias(columns, _) => {
                let right = block.sources.last().map(|it| it.alias.clone());
                let left =
                    block.sources.len().checked_sub(2).and_then(|at| block.sources.get(at)).map(|it| it.alias.clone());
                for name in columns.iter().filter_map(relation).map(|it| it.name) {
                    let [a, b] = [&left, &right].map(|of| Column { of: of.clone(), name: name.clone() });
                    block.predicates.push(Predicate { column: a.clone(), test: Test::Join(b.clone()) });
                    block.predicates.push(Predicate { column: b, test: Test::Join(a) });
                }
            }
            _ => {}
        }
    }
}

pub(super) fn factor(factor: &TableFactor, block: &mut Block) {
    match factor {
        TableFactor::Table { name, args: None, alias, .. } => {
            if let Some(relation) = relation(name) {
                let alias = alias.as_ref().map_or_else(|| relation.name.clone(), |alias| folded(&alias.name));
                block.sources.push(Source { relation, alias });
            }
        }
        TableFactor::NestedJoin { table_with_joins, .. } => tables(table_with_joins, block),
        _ => {}
    }
}

/// What must hold: operands of AND, each on its own. Of OR nothing is taken: an index on one side helps nothing.
pub(super) fn conjuncts(expr: &Expr, block: &mut Block) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, block),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, block);
            conjuncts(right, block);
        }
        Expr::BinaryOp { left, op, right } => {
            let test = match op {
                BinaryOperator::Eq => Test::Equal,
                BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => Test::Range,
                _ => return,
            };
            match (column(left), column(right)) {
                (Some(a), Some(b)) if test == Test::Equal => {
                    block.predicates.push(Predicate { column: a.clone(), test: Test::Join(b.clone()) });
                    block.predicates.push(Predicate { column: b, test: Test::Join(a) });
                }
                (Some(column), None) if known(right) => block.predicates.push(Predicate { column, test }),
                (None, Some(column)) if known(left) => block.predicates.push(Predicate { column, test }),
                _ => {}
            }
        }
        Expr::In { expr, target: InTarget::List(list), negated: false, .. } if list.iter().all(known) => {
            block.predicates.extend(column(expr).map(|column| Predicate { column, test: Test::Equal }));
        }
        // What a subquery gives is joined.
        Expr::In { expr, target: InTarget::Subquery(_), negated: false, .. } => {
            let other = Column { of: Some("(subquery)".to_owned()), name: String::new() };
            block.predicates.extend(column(expr).map(|column| Predicate { column, test: Test::Join(other) }));
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if known(right) => {
            block.predicates.extend(column(left).map(|column| Predicate { column, test: Test::Equal }));
        }
        Expr::IsNull(inner) => {
            block.predicates.extend(column(inner).map(|column| Predicate { column, test: Test::Equal }));
        }
        Expr::Between { expr, negated: false, low, high } if known(low) && known(high) => {
            block.predicates.extend(column(expr).map(|column| Predicate { column, test: Test::Range }));
        }
        _ => {}
    }
}

/// A bare column; a cast or a function around it needs an index on the expression, which is not suggested.
pub(super) fn column(expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Identifier(ident) => Some(Column { of: None, name: folded(ident) }),
        Expr::CompoundIdentifier(parts) => {
            let (name, of) = parts.split_last()?;
            Some(Column { of: of.last().map(folded), name: folded(name) })
        }
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

/// Whether a value is known before the rows are read: it holds no column. Functions such as `now()` are.
pub(super) fn known(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::Interval(_) | Expr::TypedString(_) => true,
        Expr::Nested(inner)
        | Expr::Cast { expr: inner, .. }
        | Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => known(inner),
        Expr::BinaryOp { left, right, .. } => known(left) && known(right),
        Expr::Array(array) => array.elem.iter().all(known),
        Expr::Function(function) => {
            let mut columns = Columns(false);
            let _ = function.args.visit(&mut columns);
            !columns.0
        }
        // A scalar subquery is computed once, before the scan.
        Expr::Subquery(_) => true,
        _ => false,
    }
}

/// Whether a column is seen.
struct Columns(bool);

impl Visitor for Columns {
    type Break = ();
    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0 |= matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        ControlFlow::Continue(())
    }
}
